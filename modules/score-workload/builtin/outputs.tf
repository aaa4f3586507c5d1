output "name" {
  value       = terraform_data.workload.output.name
  description = "Name of the workload"
}

output "endpoint" {
  value       = length(local.ports) == 0 ? "" : "http://${local.host}:${local.ports[0]}"
  description = "Address of the first published port, by name of the port; empty where none is published"
  depends_on  = [terraform_data.workload]
}

output "platform_orchestrator_metadata" {
  value = {
    "Workload"  = var.metadata.name
    "Namespace" = var.namespace
  }
  description = "Shown in clear beside the resource"
}
