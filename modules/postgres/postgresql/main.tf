# Makes a database and its owner on a PostgreSQL server that the provider is connected to.

locals {
  # 63 characters at most, with room for `_owner`; a hash keeps two long names apart.
  plain    = trim(replace(lower(var.name), "/[^a-z0-9]+/", "_"), "_")
  made     = length(local.plain) <= 57 ? local.plain : "${substr(local.plain, 0, 48)}_${substr(sha256(local.plain), 0, 8)}"
  database = var.database != "" ? var.database : local.made
  username = substr("${local.database}_owner", 0, 63)
}

# Drawn once and kept: the expression gives a new value in every plan, and the lifecycle rule ignores it.
resource "terraform_data" "password" {
  input            = sensitive(sha256("${uuid()}${uuid()}"))
  triggers_replace = var.password_version

  lifecycle {
    ignore_changes = [input]
  }
}

resource "postgresql_role" "owner" {
  name     = local.username
  login    = true
  password = terraform_data.password.output
}

resource "postgresql_database" "this" {
  name  = local.database
  owner = postgresql_role.owner.name
}
