output "host" {
  value       = var.host
  description = "Host of the server"
  depends_on  = [postgresql_database.this]
}

output "port" {
  value       = var.port
  description = "Port of the server"
}

output "database" {
  value       = postgresql_database.this.name
  description = "Name of the database"
}

output "username" {
  value       = postgresql_role.owner.name
  description = "Owner of the database"
}

output "password" {
  value       = terraform_data.password.output
  description = "Password of the owner"
  sensitive   = true
}

output "url" {
  value       = "postgres://${local.username}:${terraform_data.password.output}@${var.host}:${var.port}/${local.database}"
  description = "Everything in one"
  sensitive   = true
}

output "platform_orchestrator_metadata" {
  value = {
    "Postgres-Host" = var.host
  }
  description = "Shown in clear beside the resource"
}
