output "host" {
  value       = local.host
  description = "Host of the primary"
  depends_on  = [terraform_data.primary]
}

output "port" {
  value       = local.port
  description = "Port of the server"
}

output "database" {
  value       = local.database
  description = "Name of the database"
}

output "username" {
  value       = local.username
  description = "Owner of the database"
}

output "password" {
  value       = terraform_data.password.output
  description = "Password of the owner"
  sensitive   = true
}

output "url" {
  value       = "postgres://${local.username}:${terraform_data.password.output}@${local.host}:${local.port}/${local.database}"
  description = "Everything in one"
  sensitive   = true
}

output "replica_hosts" {
  value       = [for replica in terraform_data.replica : replica.output.host]
  description = "Hosts of the replicas, read-only"
}

output "platform_orchestrator_metadata" {
  value = {
    "Postgres-Host"     = local.host
    "Postgres-Version"  = var.server_version
    "Postgres-Replicas" = tostring(var.replicas)
  }
  description = "Shown in clear beside the resource"
}
