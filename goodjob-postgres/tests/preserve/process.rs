//! What the row of a process says about what it keeps, and about its connections.

use goodjob_core::{Preserve, ProcessRecord, Store};
use serde_json::{Value, json};

use crate::scene::Scene;

async fn state(scene: &Scene, process: &ProcessRecord) -> Value {
    scene.store.beat(process).await.unwrap();
    sqlx::query_scalar("SELECT state FROM good_job_processes WHERE id = $1")
        .bind(process.id.as_uuid())
        .fetch_one(&scene.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_process_says_in_the_gems_words_what_it_keeps() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    for (preserve, said) in [
        (Preserve::Always, json!(true)),
        (Preserve::Never, json!(false)),
        (Preserve::OnUnhandledError, json!("on_unhandled_error")),
        (Preserve::When(|_, _| true), json!({})),
    ] {
        let process = ProcessRecord { preserve, ..scene.process.clone() };
        assert_eq!(state(&scene, &process).await["preserve_job_records"], said);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_process_tells_how_many_connections_are_in_use() {
    let database = crate::database().await;
    let scene = Scene::on(&database).await;
    let pool = scene.store.pool();
    let mut held = Vec::new();
    for active in 1..=3 {
        held.push(pool.acquire().await.unwrap());
        let told = &state(&scene, &scene.process).await["database_connection_pool"];
        assert_eq!(*told, json!({"size": pool.options().get_max_connections(), "active": active}));
    }
    // Given back in the background, unless they are closed.
    for connection in held {
        connection.close().await.unwrap();
    }
    let told = &state(&scene, &scene.process).await["database_connection_pool"];
    assert_eq!(told["active"], 0);
    scene.end().await;
}
