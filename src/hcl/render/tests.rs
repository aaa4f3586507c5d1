use super::*;

fn backend(backend: &Backend) -> String {
    let block = backend_block(backend, "0000-uuid");
    let mut out = String::new();
    align(&print(&block), &mut out);
    out
}

#[test]
fn every_backend_has_its_block() {
    let some = |text: &str| Some(text.to_owned());
    insta::assert_snapshot!(backend(&Backend::local()), @r#"
    backend "local" {
      path = "state/terraform.tfstate"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Hosted), @r#"
    backend "http" {
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Http {
        address: "https://states.example/a/".into(),
        lock_path: None,
        lock_method: None,
        unlock_method: None,
    }), @r#"
    backend "http" {
      address        = "https://states.example/a/0000-uuid"
      lock_address   = "https://states.example/a/0000-uuid"
      unlock_address = "https://states.example/a/0000-uuid"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Http {
        address: "https://states.example/a".into(),
        lock_path: some("/lock"),
        lock_method: some("POST"),
        unlock_method: some("DELETE"),
    }), @r#"
    backend "http" {
      address        = "https://states.example/a/0000-uuid"
      lock_address   = "https://states.example/a/0000-uuid/lock"
      unlock_address = "https://states.example/a/0000-uuid/lock"
      lock_method    = "POST"
      unlock_method  = "DELETE"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Pg { schema_name: "windlass".into() }), @r#"
    backend "pg" {
      schema_name = "windlass_0000uuid"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Kubernetes { namespace: "tf".into() }), @r#"
    backend "kubernetes" {
      secret_suffix     = "0000-uuid"
      namespace         = "tf"
      in_cluster_config = true
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::S3 { bucket: "b".into(), path_prefix: some("/a//b/../c/") }), @r#"
    backend "s3" {
      bucket = "b"
      key    = "/a/c/0000-uuid.tfstate"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Gcs { bucket: "b".into(), path_prefix: None }), @r#"
    backend "gcs" {
      bucket = "b"
      prefix = "0000-uuid"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Gcs { bucket: "b".into(), path_prefix: some("p") }), @r#"
    backend "gcs" {
      bucket = "b"
      prefix = "p/0000-uuid"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Azurerm {
        resource_group_name: some("g"),
        storage_account_name: "a".into(),
        container_name: "c".into(),
        path_prefix: some("p"),
    }), @r#"
    backend "azurerm" {
      resource_group_name  = "g"
      storage_account_name = "a"
      container_name       = "c"
      key                  = "p/0000-uuid/terraform.tfstate"
    }
    "#);
    insta::assert_snapshot!(backend(&Backend::Azurerm {
        resource_group_name: None,
        storage_account_name: "a".into(),
        container_name: "c".into(),
        path_prefix: None,
    }), @r#"
    backend "azurerm" {
      storage_account_name = "a"
      container_name       = "c"
      key                  = "0000-uuid/terraform.tfstate"
    }
    "#);
}

#[test]
fn a_number_in_brackets_makes_a_block_and_blocks_sort_by_number() {
    assert_eq!(block_name("assume_role[0]"), ("assume_role", Some(0)));
    assert_eq!(block_name("x[10]"), ("x", Some(10)));
    assert_eq!(block_name("x"), ("x", None));
    assert_eq!(block_name("x\\[0]"), ("x\\[0]", None));
    assert_eq!(block_name("[0]"), ("[0]", None));
    assert_eq!(block_name("x[a]"), ("x[a]", None));
}
