use super::*;

fn cache(id: &str, target: &str) -> CacheMount {
    CacheMount {
        id: id.into(),
        target: target.into(),
        sharing: CacheSharing::Shared,
        read_only: false,
        source: Input::Scratch,
        source_path: "/".into(),
        mode: 0o755,
        uid: 0,
        gid: 0,
    }
}

fn secret(id: &str, target: Option<&str>) -> SecretMount {
    let target = target.map(Into::into);
    SecretMount { id: id.into(), target, env: None, required: false, mode: 0o400, uid: 0, gid: 0 }
}

fn bind(source: Input, source_path: &str, target: &str, writable: bool) -> Mount {
    Mount::Bind(BindMount { source, source_path: source_path.into(), target: target.into(), writable })
}

#[test]
fn every_type_has_its_defaults() {
    let named = |name: &str| Input::Named(name.into());
    for (text, expected) in [
        ("target=/src", bind(Input::Local, "/", "/src", false)),
        ("type=bind,from=build,src=out,dst=x,rw", bind(named("build"), "out", "/work/x", true)),
        ("type=bind,target=/a,ro=false", bind(Input::Local, "/", "/a", true)),
        ("type=cache,target=/root/.cache/", Mount::Cache(cache("/root/.cache", "/root/.cache"))),
        (
            "type=cache,id=apt,target=/v,sharing=locked,from=b,source=/s,mode=0700,uid=1,gid=2,ro",
            Mount::Cache(CacheMount {
                sharing: CacheSharing::Locked,
                read_only: true,
                source: named("b"),
                source_path: "/s".into(),
                mode: 0o700,
                uid: 1,
                gid: 2,
                ..cache("apt", "/v")
            }),
        ),
        ("source=.", bind(Input::Local, ".", "/work", false)),
        ("type=tmpfs,ro,target=/t", Mount::Tmpfs(TmpfsMount { target: "/t".into(), size: None })),
        (
            "type=tmpfs,target=/t,size=64m",
            Mount::Tmpfs(TmpfsMount { target: "/t".into(), size: Some(64 << 20) }),
        ),
        ("type=secret,id=token", Mount::Secret(secret("token", Some("/run/secrets/token")))),
        ("type=secret,target=/etc/aws", Mount::Secret(secret("aws", Some("/etc/aws")))),
        (
            "type=secret,id=token,env=TOKEN,required",
            Mount::Secret(SecretMount { env: Some("TOKEN".into()), required: true, ..secret("token", None) }),
        ),
        (
            "type=ssh",
            Mount::Ssh(SshMount {
                id: "default".into(),
                target: None,
                required: false,
                mode: 0o600,
                uid: 0,
                gid: 0,
            }),
        ),
    ] {
        assert_eq!(parse(text, "/work"), Ok(expected), "for {text}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, said) in [
        ("type=nfs,target=/a", "unsupported mount type \"nfs\""),
        ("type=cache", "invalid mount target \"/\""),
        ("target=/../", "invalid mount target \"/\""),
        ("type=tmpfs,target=/t,mode=0700", "mode, uid and gid are not allowed for a tmpfs mount"),
        ("type=bind,target=/t,sharing=locked", "a bind mount has no field `sharing`"),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=secret", "a secret mount needs an id or a target"),
        ("target=/a,frob=1", "unexpected key 'frob' in 'frob=1'"),
        ("target", "mount field `target` needs a value: `target=...`"),
        ("type=cache,target=/a,mode=0999", "invalid value 0999 for mode"),
        ("type=cache,target=/a,sharing=all", "unsupported sharing value \"all\""),
        ("target=/a,ro=maybe", "invalid value for ro: maybe"),
        ("type=tmpfs,target=/t,size=big", "invalid size \"big\""),
    ] {
        assert_eq!(parse(text, "/").unwrap_err().message(), said, "for {text}");
    }
}
