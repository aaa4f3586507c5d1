# Runs a workload as a deployment. Variables and files travel in secrets, because they may hold some; a change of
# either restarts the pods.

locals {
  labels = {
    "app.kubernetes.io/name"       = var.metadata.name
    "app.kubernetes.io/managed-by" = "windlass"
  }

  # Every file of every container under a key of its own: paths hold characters that keys cannot.
  files = merge([
    for name, container in var.containers : {
      for path, file in container.files : "${name}-${substr(sha256(path), 0, 16)}" => merge(file, {
        container = name
        path      = path
      })
    }
  ]...)
  claims = toset(flatten([
    for container in var.containers : [for volume in container.volumes : volume.source]
  ]))
  settings = {
    for name, container in var.containers : name => container.variables if length(container.variables) > 0
  }
}

resource "kubernetes_secret_v1" "variables" {
  for_each = { for name in keys(local.settings) : name => name }

  metadata {
    name      = "${var.metadata.name}-${each.key}-variables"
    namespace = var.namespace
    labels    = local.labels
  }

  data = local.settings[each.key]
}

resource "kubernetes_secret_v1" "files" {
  count = length(local.files) > 0 ? 1 : 0

  metadata {
    name      = "${var.metadata.name}-files"
    namespace = var.namespace
    labels    = local.labels
  }

  data        = { for key, file in local.files : key => file.content if file.content != null }
  binary_data = { for key, file in local.files : key => file.binaryContent if file.binaryContent != null }
}

resource "kubernetes_deployment_v1" "this" {
  metadata {
    name        = var.metadata.name
    namespace   = var.namespace
    labels      = local.labels
    annotations = var.metadata.annotations
  }

  spec {
    replicas = var.replicas

    selector {
      match_labels = { "app.kubernetes.io/name" = var.metadata.name }
    }

    template {
      metadata {
        labels = local.labels
        annotations = merge(var.metadata.annotations, {
          "windlass/content" = nonsensitive(sha256(jsonencode([local.settings, local.files])))
        })
      }

      spec {
        dynamic "container" {
          for_each = var.containers
          content {
            name    = container.key
            image   = container.value.image
            command = container.value.command
            args    = container.value.args

            dynamic "env_from" {
              for_each = contains(keys(local.settings), container.key) ? [1] : []
              content {
                secret_ref {
                  name = kubernetes_secret_v1.variables[container.key].metadata[0].name
                }
              }
            }

            resources {
              limits   = { for name, value in container.value.resources.limits : name => value if value != null }
              requests = { for name, value in container.value.resources.requests : name => value if value != null }
            }

            dynamic "volume_mount" {
              for_each = { for key, file in local.files : key => file if file.container == container.key }
              content {
                name       = "file-${volume_mount.key}"
                mount_path = volume_mount.value.path
                sub_path   = volume_mount.key
                read_only  = true
              }
            }

            dynamic "volume_mount" {
              for_each = container.value.volumes
              content {
                name       = "claim-${volume_mount.value.source}"
                mount_path = volume_mount.key
                sub_path   = volume_mount.value.path
                read_only  = volume_mount.value.readOnly
              }
            }

            dynamic "liveness_probe" {
              for_each = container.value.livenessProbe == null ? [] : [container.value.livenessProbe]
              content {
                # A container has one way to be asked; a command says more than an answer over HTTP.
                dynamic "exec" {
                  for_each = liveness_probe.value.exec == null ? [] : [liveness_probe.value.exec]
                  content {
                    command = exec.value.command
                  }
                }
                dynamic "http_get" {
                  for_each = liveness_probe.value.exec != null || liveness_probe.value.httpGet == null ? [] : [liveness_probe.value.httpGet]
                  content {
                    host   = http_get.value.host
                    scheme = http_get.value.scheme
                    path   = http_get.value.path
                    port   = http_get.value.port
                    dynamic "http_header" {
                      for_each = http_get.value.httpHeaders
                      content {
                        name  = http_header.value.name
                        value = http_header.value.value
                      }
                    }
                  }
                }
              }
            }

            dynamic "readiness_probe" {
              for_each = container.value.readinessProbe == null ? [] : [container.value.readinessProbe]
              content {
                dynamic "exec" {
                  for_each = readiness_probe.value.exec == null ? [] : [readiness_probe.value.exec]
                  content {
                    command = exec.value.command
                  }
                }
                dynamic "http_get" {
                  for_each = readiness_probe.value.exec != null || readiness_probe.value.httpGet == null ? [] : [readiness_probe.value.httpGet]
                  content {
                    host   = http_get.value.host
                    scheme = http_get.value.scheme
                    path   = http_get.value.path
                    port   = http_get.value.port
                    dynamic "http_header" {
                      for_each = http_get.value.httpHeaders
                      content {
                        name  = http_header.value.name
                        value = http_header.value.value
                      }
                    }
                  }
                }
              }
            }
          }
        }

        dynamic "volume" {
          for_each = local.files
          content {
            name = "file-${volume.key}"
            secret {
              secret_name = kubernetes_secret_v1.files[0].metadata[0].name
              items {
                key  = volume.key
                path = volume.key
                mode = volume.value.mode
              }
            }
          }
        }

        dynamic "volume" {
          for_each = local.claims
          content {
            name = "claim-${volume.value}"
            persistent_volume_claim {
              claim_name = volume.value
            }
          }
        }
      }
    }
  }
}

resource "kubernetes_service_v1" "this" {
  count = length(var.service.ports) > 0 ? 1 : 0

  metadata {
    name      = var.metadata.name
    namespace = var.namespace
    labels    = local.labels
  }

  spec {
    selector = { "app.kubernetes.io/name" = var.metadata.name }

    dynamic "port" {
      for_each = var.service.ports
      content {
        name        = port.key
        port        = port.value.port
        target_port = coalesce(port.value.targetPort, port.value.port)
        protocol    = port.value.protocol
      }
    }
  }
}
