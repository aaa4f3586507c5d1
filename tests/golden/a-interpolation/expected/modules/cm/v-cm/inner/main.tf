variable "data" {
  type = map(string)
}

resource "terraform_data" "this" {
  input = var.data
}
