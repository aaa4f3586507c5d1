output "name" {
  value       = terraform_data.namespace.output.name
  description = "Name of the namespace"
}

output "platform_orchestrator_metadata" {
  value = {
    "Namespace" = local.name
  }
  description = "Shown in clear beside the resource"
}
