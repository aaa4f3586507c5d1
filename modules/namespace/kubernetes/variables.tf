variable "name" {
  type        = string
  description = "Wanted name; made to fit where it is too long"
}

variable "labels" {
  type        = map(string)
  default     = {}
  description = "Labels of the namespace"
}
