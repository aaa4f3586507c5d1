variable "host" {
  type        = string
  description = "Host name that the route answers to"
}

variable "endpoint" {
  type        = string
  description = "Where requests go"

  validation {
    condition     = var.endpoint != ""
    error_message = "There is nothing to send requests to: the workload publishes no port."
  }
}

variable "path" {
  type        = string
  default     = "/"
  description = "Prefix of the paths that are sent there"

  validation {
    condition     = startswith(var.path, "/")
    error_message = "The path must begin with a slash."
  }
}
