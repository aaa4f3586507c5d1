# Keeps the name of a namespace. Needs nothing but the engine.

locals {
  # 63 characters at most; a hash keeps two long names apart.
  name = length(var.name) <= 63 ? var.name : "${trimsuffix(substr(var.name, 0, 54), "-")}-${substr(sha256(var.name), 0, 8)}"
}

resource "terraform_data" "namespace" {
  input = {
    name   = local.name
    labels = var.labels
  }
}
