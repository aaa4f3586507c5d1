terraform {
  backend "kubernetes" {
    secret_suffix     = "11111111-2222-3333-4444-555555555555"
    namespace         = "tf-state"
    in_cluster_config = true
  }

  required_providers {
  }
}

module "queue_default_jobs_11487fa1" {
  source = "/m/queue"
}

module "queue-acl_default_jobs_193704d2" {
  source = "/m/acl"
  principals = [
    module.identity_default_workloadsapiid_f2fa63a0.arn,
    module.identity_default_workloadsworkerid_0ee9409d.arn
  ]
  queue_arn = module.queue_default_jobs_11487fa1.arn
}

module "identity_default_workloadsapiid_f2fa63a0" {
  source = "/m/id"
}

module "identity_default_workloadsworkerid_0ee9409d" {
  source = "/m/id"
}

output "platform_orchestrator_metadata" {
  value = {
    "80a60e0cf91fed11338ee9370a12ea053e1467697278b5c3b1ab9164faece7d0" = lookup(module.queue_default_jobs_11487fa1, "platform_orchestrator_metadata", {})
    "37b9ee166f52636cff5c857a321b09f20de4325b8c44a3f9e6316bfa260e5bd1" = lookup(module.queue-acl_default_jobs_193704d2, "platform_orchestrator_metadata", {})
    "f8472985b461bfc7249c0c5a37322d32071158e9bb47a3ea0b25fe69b66cabfb" = lookup(module.identity_default_workloadsapiid_f2fa63a0, "platform_orchestrator_metadata", {})
    "d091b9574bb334dc78adef41fa7e7ad3011fc086fe756824c424fede7ac1d7f5" = lookup(module.identity_default_workloadsworkerid_0ee9409d, "platform_orchestrator_metadata", {})
  }
  description = "The metadata output from the modules involved in the deployment"
}

output "api" {
  value       = {}
  description = "The output variables for workload 'api'"
  sensitive   = true
}

output "worker" {
  value       = {}
  description = "The output variables for workload 'worker'"
  sensitive   = true
}
