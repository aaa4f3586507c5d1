variable "name" {
  type        = string
  description = "Name of the server; characters that a host name cannot have are replaced"
}

variable "server_version" {
  type        = string
  default     = "17"
  description = "Major version"

  validation {
    condition     = can(regex("^[0-9]{2}$", var.server_version))
    error_message = "The version must be a major version of two digits, for example 17."
  }
}

variable "database" {
  type        = string
  default     = ""
  description = "Name of the database; made from the server's where empty"
}

variable "password_version" {
  type        = number
  default     = 1
  description = "Raise it to get a new password"
}

variable "replicas" {
  type        = number
  description = "Servers that follow the primary"

  validation {
    condition     = var.replicas >= 1
    error_message = "A cluster has at least one replica."
  }
}

variable "backup_retention_days" {
  type        = number
  description = "Days for which backups are kept"
}
