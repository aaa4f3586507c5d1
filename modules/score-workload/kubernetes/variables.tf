# What a workload may say is what these types name. The engine drops every other field, so a field that is not here
# (`before`) is one that this module does not honour.

variable "namespace" {
  type        = string
  description = "Namespace that the workload runs in"
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
    # The source of a volume is the name of a PersistentVolumeClaim in the namespace.
    volumes = optional(map(object({
      source   = string
      path     = optional(string)
      readOnly = optional(bool, false)
    })), {})
    resources = optional(object({
      limits = optional(object({
        cpu    = optional(string)
        memory = optional(string)
      }), {})
      requests = optional(object({
        cpu    = optional(string)
        memory = optional(string)
      }), {})
    }), {})
    livenessProbe = optional(object({
      httpGet = optional(object({
        host        = optional(string)
        scheme      = optional(string, "HTTP")
        path        = string
        port        = number
        httpHeaders = optional(list(object({ name = string, value = string })), [])
      }))
      exec = optional(object({ command = list(string) }))
    }))
    readinessProbe = optional(object({
      httpGet = optional(object({
        host        = optional(string)
        scheme      = optional(string, "HTTP")
        path        = string
        port        = number
        httpHeaders = optional(list(object({ name = string, value = string })), [])
      }))
      exec = optional(object({ command = list(string) }))
    }))
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

variable "replicas" {
  type        = number
  default     = 1
  description = "How many of it run"
}
