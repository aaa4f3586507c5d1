terraform {
  backend "kubernetes" {
    secret_suffix     = "11111111-2222-3333-4444-555555555555"
    namespace         = "tf-state"
    in_cluster_config = true
  }

  required_providers {
  }
}

module "postgres_default_shareddb_3d8ff0d2" {
  source  = "acme/pg/aws"
  version = "1.4.2"
  name    = "${"shop"}-${"shared.db"}"
  size    = 10
}

module "config-map_default_workloadsapicfg_b54fe627" {
  source = "./modules/cm/v-cm"
  data = {
    DB_URL  = "postgres://${module.postgres_default_shareddb_3d8ff0d2.host}:5432/${"dev"}"
    LITERAL = "$${HOME}"
  }
}

module "k8s-namespace_default_workloadsapins_3148dd04" {
  source = "./modules/ns/0c1d"
}

output "platform_orchestrator_metadata" {
  value = {
    "c98b2b4fab84758910a468c24f3c5924af5af5d6fd7ef2366a807bda15f17a5c" = lookup(module.postgres_default_shareddb_3d8ff0d2, "platform_orchestrator_metadata", {})
    "a828a7a1d0dff9aa4be7b7f05bc7317c68583c6e6aec13cbb52c831b1efc4962" = lookup(module.config-map_default_workloadsapicfg_b54fe627, "platform_orchestrator_metadata", {})
    "d546a3227cd250f4ad70b111f93365a6267fb66f26476c19138159daf98cb306" = lookup(module.k8s-namespace_default_workloadsapins_3148dd04, "platform_orchestrator_metadata", {})
  }
  description = "The metadata output from the modules involved in the deployment"
}

output "api" {
  value = {
    DSN       = "host=${module.postgres_default_shareddb_3d8ff0d2.host}"
    NAMESPACE = module.k8s-namespace_default_workloadsapins_3148dd04.name
  }
  description = "The output variables for workload 'api'"
  sensitive   = true
}
