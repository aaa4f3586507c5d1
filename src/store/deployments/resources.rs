//! Active resources: what an environment is meant to have, node by node.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Connection;
use crate::store::StoreError;
use crate::store::sql::{self, Builder};
use crate::wire::deployments::{ActiveNode, GraphNode};

/// Writes the nodes of a new graph: they belong to `deployment` from now on, with their edges. Others stay.
pub(crate) async fn put(
    connection: &mut Connection,
    env_uuid: &str,
    deployment: &str,
    nodes: &[GraphNode],
) -> Result<(), StoreError> {
    let nodes: Vec<&GraphNode> = nodes.iter().filter(|node| !node.leaving).collect();
    for nodes in nodes.chunks(AT_ONCE) {
        let mut query = Builder::new(
            "INSERT INTO resource_nodes (env_uuid, hash, resource_type, resource_class, resource_id, deployment, \
             module_id, module_version, metadata) VALUES ",
        );
        for (number, node) in nodes.iter().enumerate() {
            query
                .push(if number == 0 { "(" } else { ", (" })
                .push_values([
                    env_uuid,
                    &node.id,
                    &node.key.type_name,
                    &node.key.class,
                    &node.key.id,
                    deployment,
                    node.module_id.as_deref().unwrap_or(""),
                    node.module_version.as_deref().unwrap_or(""),
                ]);
            query.push(", '{}')");
        }
        query.push(
            " ON CONFLICT (env_uuid, hash) DO UPDATE SET deployment = excluded.deployment, \
             module_id = excluded.module_id, module_version = excluded.module_version",
        );
        query.build().execute(&mut *connection).await?;
        let mut query = Builder::new("DELETE FROM resource_edges WHERE env_uuid = ");
        query.push_bind(env_uuid).push(" AND subject IN (");
        query
            .push_values(nodes.iter().map(|node| node.id.as_str()))
            .push(")");
        query.build().execute(&mut *connection).await?;
    }
    let edges: Vec<[&str; 4]> = nodes
        .iter()
        .flat_map(|node| {
            let edges = node.edges.iter();
            edges.map(|(alias, target)| {
                [env_uuid, node.id.as_str(), alias.as_str(), target.as_str()]
            })
        })
        .collect();
    for edges in edges.chunks(AT_ONCE) {
        let mut query =
            Builder::new("INSERT INTO resource_edges (env_uuid, subject, alias, target) VALUES ");
        for (number, edge) in edges.iter().enumerate() {
            query
                .push(if number == 0 { "(" } else { ", (" })
                .push_values(*edge)
                .push(")");
        }
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Rows of one statement: a round trip each would keep other writers waiting, and no database takes any number of values.
const AT_ONCE: usize = 200;

/// Removes the nodes that belong to other deployments than `deployment`.
pub(crate) async fn discard_others(
    connection: &mut Connection,
    env_uuid: &str,
    deployment: &str,
) -> Result<(), StoreError> {
    sql::query("DELETE FROM resource_nodes WHERE env_uuid = $1 AND deployment <> $2")
        .bind(env_uuid)
        .bind(deployment)
        .execute(connection)
        .await?;
    Ok(())
}

/// Records what the module of a node published; only while the node belongs to `deployment`.
pub(crate) async fn set_metadata(
    connection: &mut Connection,
    env_uuid: &str,
    deployment: &str,
    hash: &str,
    metadata: &Map<String, Value>,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(metadata)
        .map_err(|source| StoreError::document("metadata", source))?;
    sql::query(
        "UPDATE resource_nodes SET metadata = $4 WHERE env_uuid = $1 AND deployment = $2 AND hash = $3",
    )
    .bind(env_uuid)
    .bind(deployment)
    .bind(hash)
    .bind(text)
    .execute(connection)
    .await?;
    Ok(())
}

type Columns = (
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    String,
);

/// The nodes of an environment, by hash; edges to nodes that are gone are left out.
pub(crate) async fn list(
    connection: &mut Connection,
    env_uuid: &str,
    project: &str,
    env: &str,
) -> Result<Vec<ActiveNode>, StoreError> {
    let edges: Vec<(String, String, String)> = sql::query(
        "SELECT edge.subject, edge.alias, edge.target FROM resource_edges edge JOIN resource_nodes node \
         ON node.env_uuid = edge.env_uuid AND node.hash = edge.target WHERE edge.env_uuid = $1",
    )
    .bind(env_uuid)
    .fetch_all(&mut *connection)
    .await?;
    let mut of: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (subject, alias, target) in edges {
        of.entry(subject).or_default().insert(alias, target);
    }
    let rows: Vec<Columns> = sql::query(
        "SELECT hash, resource_type, resource_class, resource_id, deployment, module_id, module_version, metadata \
         FROM resource_nodes WHERE env_uuid = $1 ORDER BY hash",
    )
    .bind(env_uuid)
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ActiveNode {
                edges: of.remove(&row.0).unwrap_or_default(),
                id: row.0,
                project_id: project.to_owned(),
                env_id: env.to_owned(),
                resource_type: row.1,
                resource_class: row.2,
                resource_id: row.3,
                deployment_id: row.4,
                module_id: row.5,
                module_version: row.6,
                metadata: serde_json::from_str(&row.7)
                    .map_err(|source| StoreError::document("metadata", source))?,
            })
        })
        .collect()
}

/// Forgets the resources of an environment.
pub(crate) async fn forget(connection: &mut Connection, env_uuid: &str) -> Result<(), StoreError> {
    sql::query("DELETE FROM resource_nodes WHERE env_uuid = $1")
        .bind(env_uuid)
        .execute(connection)
        .await?;
    Ok(())
}

/// Environments of an organisation that have a node of this module (and version): project to environments.
pub(crate) async fn users_of(
    connection: &mut Connection,
    org: &str,
    module: &str,
    version: Option<&str>,
) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let rows: Vec<(String, String)> = sql::query(
        "SELECT DISTINCT place.project_id, place.env_id FROM resource_nodes node \
         JOIN places place ON place.env_uuid = node.env_uuid \
         WHERE place.org_id = $1 AND node.module_id = $2 AND ($3 IS NULL OR node.module_version = $3) \
         ORDER BY place.project_id, place.env_id",
    )
    .bind(org)
    .bind(module)
    .bind(version)
    .fetch_all(connection)
    .await?;
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (project, env) in rows {
        users.entry(project).or_default().push(env);
    }
    Ok(users)
}
