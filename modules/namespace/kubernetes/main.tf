# Makes a namespace and waits until it is gone when it is destroyed.

locals {
  # 63 characters at most; a hash keeps two long names apart.
  name = length(var.name) <= 63 ? var.name : "${trimsuffix(substr(var.name, 0, 54), "-")}-${substr(sha256(var.name), 0, 8)}"
}

resource "kubernetes_namespace_v1" "this" {
  metadata {
    name = local.name
    labels = merge(var.labels, {
      "app.kubernetes.io/managed-by" = "windlass"
    })
  }

  timeouts {
    delete = "10m"
  }
}
