locals {
  ports = [for name in sort(keys(var.service.ports)) : var.service.ports[name].port]
}

output "name" {
  value       = kubernetes_deployment_v1.this.metadata[0].name
  description = "Name of the workload"
}

output "endpoint" {
  value       = length(local.ports) == 0 ? "" : "http://${var.metadata.name}.${var.namespace}.svc.cluster.local:${local.ports[0]}"
  description = "Address of the first published port, by name of the port; empty where none is published"
  depends_on  = [kubernetes_service_v1.this]
}

output "platform_orchestrator_metadata" {
  value = {
    "Kubernetes-Deployment" = var.metadata.name
    "Kubernetes-Namespace"  = var.namespace
  }
  description = "Shown in clear beside the resource"
}
