# Describes a route over plain HTTP. Needs nothing but the engine.

locals {
  url = "http://${var.host}${var.path}"
}

resource "terraform_data" "route" {
  input = {
    url = local.url
    to  = var.endpoint
  }
}
