use super::*;

fn sandbox() -> SandboxConfig {
    SandboxConfig { name: "web".into(), namespace: "default".into(), uid: "u1".into(), ..Default::default() }
}

async fn started(fake: &Fake, words: &[&str]) -> Result<String> {
    let of = sandbox();
    let id = fake.run_sandbox(&of).await?;
    let image = fake.pull_image("test.example/program:1", None).await?;
    let args = words.iter().map(|&word| word.to_owned()).collect();
    let config = ContainerConfig { name: "main".into(), image, args, ..Default::default() };
    let container = fake.create_container(&id, &config, &of).await?;
    fake.start_container(&container).await?;
    Ok(container)
}

#[tokio::test(start_paused = true)]
async fn a_container_ends_when_its_words_say_so() {
    let fake = Fake::new();
    let mut events = fake.events();
    let id = started(&fake, &["after", "60000", "3"]).await.unwrap();
    assert_eq!(fake.container_status(&id).await.unwrap().container.state, ContainerState::Running);
    while events.next().await.unwrap().unwrap() != (Event::Exited { id: id.clone() }) {}
    let status = fake.container_status(&id).await.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (3, "Error"));
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_container_takes_the_whole_grace() {
    let fake = Fake::new();
    let id = started(&fake, &["stubborn"]).await.unwrap();
    let asked = tokio::time::Instant::now();
    fake.stop_container(&id, Duration::from_secs(30)).await.unwrap();
    assert_eq!(asked.elapsed(), Duration::from_secs(30));
    assert_eq!(fake.container_status(&id).await.unwrap().exit_code, 137);
}

#[tokio::test]
async fn a_lost_sandbox_ends_its_containers() {
    let fake = Fake::new();
    let id = started(&fake, &[]).await.unwrap();
    let sandbox = fake.sandboxes_of("u1").await.unwrap().remove(0);
    assert!(!sandbox.addresses.is_empty());
    fake.lose_sandbox(&sandbox.id);
    assert_eq!(fake.container_status(&id).await.unwrap().exit_code, 137);
    assert_eq!(fake.sandboxes().await.unwrap()[0].state, SandboxState::NotReady);
    fake.remove_sandbox(&sandbox.id).await.unwrap();
    assert!(fake.containers().await.unwrap().is_empty());
}

#[tokio::test]
async fn pulls_and_calls_fail_as_often_as_told() {
    let fake = Fake::new();
    fake.on_pull("broken", Pull { failures: 1, why: "no route".into(), ..Pull::default() });
    let error = fake.pull_image("broken", None).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to pull image \"broken\": no route");
    fake.pull_image("broken", None).await.unwrap();
    assert!(matches!(fake.pull_image("A B", None).await, Err(Error::InvalidImageName { .. })));
    fake.fail("run_sandbox", 1, "no network");
    assert_eq!(fake.run_sandbox(&sandbox()).await.unwrap_err().to_string(), "run_sandbox: no network");
    fake.run_sandbox(&sandbox()).await.unwrap();
}

#[tokio::test]
async fn a_runtime_that_went_away_keeps_its_containers() {
    let fake = Fake::new();
    let id = started(&fake, &[]).await.unwrap();
    let mut events = fake.events();
    fake.go_away();
    assert!(events.next().await.is_none());
    assert!(matches!(fake.containers().await, Err(Error::Unavailable { .. })));
    fake.come_back();
    assert_eq!(fake.containers().await.unwrap()[0].id, id);
}
