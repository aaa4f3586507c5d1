# Describes a PostgreSQL primary with replicas and backups, and makes the password of its owner. Needs nothing but
# the engine: hosts and port look as they would, and nobody answers there.

locals {
  server   = trim(replace(lower(var.name), "/[^a-z0-9]+/", "-"), "-")
  database = var.database != "" ? var.database : replace(local.server, "-", "_")
  username = substr("${local.database}_owner", 0, 63)
  host     = "${local.server}.postgres.internal"
  port     = 5432
}

# Drawn once and kept: the expression gives a new value in every plan, and the lifecycle rule ignores it.
resource "terraform_data" "password" {
  input            = sensitive(sha256("${uuid()}${uuid()}"))
  triggers_replace = var.password_version

  lifecycle {
    ignore_changes = [input]
  }
}

resource "terraform_data" "primary" {
  input = {
    host     = local.host
    version  = var.server_version
    database = local.database
    owner    = local.username
  }
}

resource "terraform_data" "replica" {
  count = var.replicas
  input = {
    host    = "${local.server}-replica-${count.index + 1}.postgres.internal"
    follows = terraform_data.primary.id
  }
}

resource "terraform_data" "backup" {
  input = {
    of             = terraform_data.primary.id
    retention_days = var.backup_retention_days
  }
}
