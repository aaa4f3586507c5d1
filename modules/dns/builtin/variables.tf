variable "project" {
  type        = string
  description = "Used as label where no subdomain is given"
}

variable "zone" {
  type        = string
  description = "What the label is put before"
}

variable "subdomain" {
  type        = string
  default     = ""
  description = "Leftmost label"

  validation {
    condition     = var.subdomain == "" || can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.subdomain))
    error_message = "The subdomain must be one label: 1 to 63 lower-case letters, digits and hyphens."
  }
}
