output "name" {
  value       = kubernetes_namespace_v1.this.metadata[0].name
  description = "Name of the namespace"
}

output "platform_orchestrator_metadata" {
  value = {
    "Kubernetes-Namespace" = local.name
  }
  description = "Shown in clear beside the resource"
}
