# Keeps the description of a workload. Needs nothing but the engine, and starts no container: what can be seen is what
# a platform would have been told.

locals {
  host  = "${var.metadata.name}.${var.namespace}.internal"
  ports = [for name in sort(keys(var.service.ports)) : var.service.ports[name].port]
}

resource "terraform_data" "container" {
  for_each = var.containers
  input = {
    workload = var.metadata.name
    image    = each.value.image
    command  = each.value.command
    args     = each.value.args
    # Variables and files may hold secrets: their names are kept as they are, their values as one hash that
    # changes when they do.
    variables = sort(keys(each.value.variables))
    files     = { for path, file in each.value.files : path => file.mode }
    content   = sha256(jsonencode([each.value.variables, each.value.files]))
    resources = each.value.resources
  }
}

resource "terraform_data" "workload" {
  input = {
    name        = var.metadata.name
    namespace   = var.namespace
    annotations = var.metadata.annotations
    ports       = { for name, port in var.service.ports : name => port.port }
    containers  = { for name, container in terraform_data.container : name => container.id }
  }
}
