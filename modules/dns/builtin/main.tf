# Gives a host name. Needs nothing but the engine, and writes no record anywhere.

locals {
  host = "${var.subdomain != "" ? var.subdomain : var.project}.${var.zone}"
}

resource "terraform_data" "record" {
  input = local.host
}
