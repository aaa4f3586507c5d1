# What a workload may say is what these types name. The engine drops every other field, so a field that is not here
# is one that this module does not honour.

variable "namespace" {
  type        = string
  description = "Namespace that the workload would run in"
}

variable "metadata" {
  type = object({
    name        = string
    annotations = optional(map(string), {})
  })
  description = "Name and annotations of the workload"
}

variable "containers" {
  type = map(object({
    image     = string
    command   = optional(list(string))
    args      = optional(list(string))
    variables = optional(map(string), {})
    files = optional(map(object({
      mode          = optional(string, "0644")
      content       = optional(string)
      binaryContent = optional(string)
    })), {})
    resources = optional(object({
      limits   = optional(map(string), {})
      requests = optional(map(string), {})
    }), {})
  }))
  description = "Containers by name"
}

variable "service" {
  type = object({
    ports = optional(map(object({
      port       = number
      targetPort = optional(number)
      protocol   = optional(string, "TCP")
    })), {})
  })
  default     = {}
  description = "Published ports by name"
}
