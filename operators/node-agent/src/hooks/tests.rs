//! Hooks against real servers on this machine and a runtime in memory.

use super::*;
use crate::probes::tests::{http_server, running, target};
use proa_runtime_shim::{ExecOutput, fake::Fake};
use serde_json::{Value, json};

fn hooks(runtime: &Fake) -> Hooks<Fake> {
    Hooks::new(runtime.clone(), Recorder::discard())
}

async fn post_start(hook: Value) -> Result<(), String> {
    let target = target(&json!({"lifecycle": {"postStart": hook}}));
    hooks(&Fake::new()).post_start(&target).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_command_that_fails_says_how() {
    let runtime = Fake::new();
    let id = running(&runtime, "c").await;
    runtime.on_exec(|_, command| {
        let exit_code = i32::from(command[0] != "good");
        Ok(ExecOutput { stdout: b"out".to_vec(), stderr: b"err".to_vec(), exit_code })
    });
    let run = async |word: &str| {
        let mut target = target(&json!({"lifecycle": {"postStart": {"exec": {"command": [word, "x"]}}}}));
        target.id.clone_from(&id);
        hooks(&runtime).post_start(&target).await.map_err(|error| error.to_string())
    };
    assert_eq!(run("good").await, Ok(()));
    assert_eq!(
        run("bad").await.unwrap_err(),
        "Exec lifecycle hook ([bad x]) for Container \"c\" in Pod \"p_ns(u)\" failed - error: \
         command 'bad x' exited with 1: err, message: \"outerr\""
    );
}

#[tokio::test]
async fn any_answer_is_good_enough() {
    let port = http_server(|head| {
        assert!(head.contains("user-agent: kube-lifecycle/1.37"), "{head}");
        "500 Bad\r\n\r\n".to_owned()
    })
    .await;
    assert_eq!(post_start(json!({"httpGet": {"port": port, "path": "/x"}})).await, Ok(()));
    // A server without TLS is asked again without it.
    assert_eq!(post_start(json!({"httpGet": {"port": port, "path": "/x", "scheme": "HTTPS"}})).await, Ok(()));
    let refused = post_start(json!({"httpGet": {"port": "none", "path": "/x"}})).await.unwrap_err();
    assert!(
        refused.starts_with("HTTP lifecycle hook (/x) for Container \"c\" in Pod \"p_ns(u)\" failed"),
        "{refused}"
    );
    let tcp = post_start(json!({"tcpSocket": {"port": 1}})).await.unwrap_err();
    assert!(tcp.starts_with("Cannot run handler: invalid handler"), "{tcp}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_before_the_end_has_the_grace_period() {
    let sleep = |seconds: u64| target(&json!({"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}));
    let left = async |target: &Target| hooks(&Fake::new()).pre_stop(target, Duration::from_secs(30)).await;
    assert_eq!(left(&target(&json!({}))).await, Duration::from_secs(30));
    assert_eq!(left(&sleep(20)).await, Duration::from_secs(10));
    assert_eq!(left(&sleep(60)).await, Duration::ZERO);
}
