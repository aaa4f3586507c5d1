variable "data" {
  type = map(string)
}

module "inner" {
  source = "./inner"
  data   = var.data
}
