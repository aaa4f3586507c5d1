output "host" {
  value       = terraform_data.record.output
  description = "The host name"
}

output "platform_orchestrator_metadata" {
  value = {
    "Host" = local.host
  }
  description = "Shown in clear beside the resource"
}
