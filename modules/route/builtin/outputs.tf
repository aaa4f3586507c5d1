output "url" {
  value       = terraform_data.route.output.url
  description = "Where the workload can be reached from outside"
}

output "platform_orchestrator_metadata" {
  value = {
    "Url" = local.url
  }
  description = "Shown in clear beside the resource"
}
