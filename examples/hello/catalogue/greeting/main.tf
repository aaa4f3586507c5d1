variable "name" {
  type        = string
  description = "Whom to greet"
}

variable "from" {
  type        = string
  description = "Who greets"
}

resource "terraform_data" "greeting" {
  input = "Hello ${var.name}, greetings from ${var.from}!"
}

output "text" {
  value       = terraform_data.greeting.output
  description = "The greeting"
}
