# Describes a route over HTTPS and the certificate that it needs. Needs nothing but the engine.

locals {
  url = "https://${var.host}${var.path}"
}

resource "terraform_data" "certificate" {
  input = {
    host = var.host
    days = 90
  }
}

resource "terraform_data" "route" {
  input = {
    url         = local.url
    to          = var.endpoint
    certificate = terraform_data.certificate.id
  }
}
