output "name" {
  value = "ns"
}
