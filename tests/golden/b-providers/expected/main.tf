terraform {
  backend "kubernetes" {
    secret_suffix     = "11111111-2222-3333-4444-555555555555"
    namespace         = "tf-state"
    in_cluster_config = true
  }

  required_providers {
    aws-main-5d5ec199 = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
    aws-tenant-e7f2bd66 = {
      source  = "hashicorp/aws"
      version = "~> 5.0"
    }
  }
}

provider "aws-main-5d5ec199" {
  alias      = "aws-main-5d5ec199"
  region     = "eu-central-1"
  secret_key = var.AWS_MAIN_SECRET
}

variable "AWS_MAIN_SECRET" {
  type      = string
  sensitive = true
}

module "aws-account_default_workloadsapibucket_31483809" {
  source = "/mnt/modules/account"
  providers = {
    aws = aws-main-5d5ec199.aws-main-5d5ec199
  }
}

provider "aws-tenant-e7f2bd66" {
  alias = "aws-tenant-e7f2bd66"

  assume_role {
    role_arn     = module.aws-account_default_workloadsapibucket_31483809.role_arn
    session_name = "po-${"dev"}"
  }

  region = "eu-central-1"
}

module "s3_archive_workloadsapibucket_763a606c" {
  source = "/mnt/modules/s3"
  providers = {
    aws = aws-tenant-e7f2bd66.aws-tenant-e7f2bd66
  }
  bucket_name = "${"dev"}-${module.aws-account_default_workloadsapibucket_31483809.id}"
}

output "platform_orchestrator_metadata" {
  value = {
    "7f578bfd92e98bd6d81b2df82f2b8146be8f1c80d3749d7782a010c82270fa73" = lookup(module.aws-account_default_workloadsapibucket_31483809, "platform_orchestrator_metadata", {})
    "37ee6cb70daf59d8547709c53dce0d14797c87609292bef92669b409be77e39f" = lookup(module.s3_archive_workloadsapibucket_763a606c, "platform_orchestrator_metadata", {})
  }
  description = "The metadata output from the modules involved in the deployment"
}

output "api" {
  value = {
    BUCKET = module.s3_archive_workloadsapibucket_763a606c.name
  }
  description = "The output variables for workload 'api'"
  sensitive   = true
}
