variable "name" {
  type        = string
  description = "What the database is named after; characters that it cannot have are replaced"
}

variable "host" {
  type        = string
  description = "Host of the server, as workloads reach it"
}

variable "port" {
  type        = number
  default     = 5432
  description = "Port of the server"
}

variable "database" {
  type        = string
  default     = ""
  description = "Name of the database; made from `name` where empty"
}

variable "password_version" {
  type        = number
  default     = 1
  description = "Raise it to get a new password"
}
