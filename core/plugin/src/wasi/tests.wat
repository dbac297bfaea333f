;; Asks WASI a few questions, one export for each.
(component
  (import "wasi:clocks/wall-clock@0.2.3" (instance $clock
    (type $record (record (field "seconds" u64) (field "nanoseconds" u32)))
    (export "datetime" (type $datetime (eq $record)))
    (export "now" (func (result $datetime)))))
  (import "wasi:clocks/monotonic-clock@0.2.3" (instance $steady
    (export "now" (func (result u64)))))
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-u64" (func (result u64)))
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))))
  (import "wasi:cli/exit@0.2.0" (instance $exit
    (export "exit" (func (param "status" (result))))))
  (import "wasi:io/error@0.2.0" (instance $errors
    (export "error" (type (sub resource)))))
  (alias export $errors "error" (type $error))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "error" (type $inner (eq $error)))
    (type $variant (variant (case "last-operation-failed" (own $inner)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $variant)))
    (export "output-stream" (type $out (sub resource)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
  (alias export $streams "output-stream" (type $output-stream))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (export "output-stream" (type $again (eq $output-stream)))
    (export "get-stderr" (func (result (own $again))))))
  (import "wasi:sockets/network@0.2.0" (instance $sockets
    (type $codes (enum "unknown" "access-denied"))
    (export "error-code" (type (eq $codes)))))
  (alias export $sockets "error-code" (type $code))
  (import "wasi:sockets/tcp@0.2.0" (instance $tcp
    (export "tcp-socket" (type (sub resource)))))
  (alias export $tcp "tcp-socket" (type $socket))
  (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
    (export "error-code" (type $a-code (eq $code)))
    (export "tcp-socket" (type $a-socket (eq $socket)))
    (type $families (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type $family (eq $families)))
    (export "create-tcp-socket"
      (func (param "address-family" $family) (result (result (own $a-socket) (error $a-code)))))))

  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 512) "one\ntwo")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $m))
  (alias core export $memory "realloc" (core func $realloc))

  (core func $now (canon lower (func $clock "now") (memory $m)))
  (core func $steadily (canon lower (func $steady "now")))
  (core func $number (canon lower (func $random "get-random-u64")))
  (core func $bytes (canon lower (func $random "get-random-bytes") (memory $m) (realloc $realloc)))
  (core func $env (canon lower (func $environment "get-environment") (memory $m) (realloc $realloc)))
  (core func $exits (canon lower (func $exit "exit")))
  (core func $handle (canon lower (func $stderr "get-stderr")))
  (core func $write
    (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $m)))
  (core func $socket (canon lower (func $create "create-tcp-socket") (memory $m)))

  (core module $questions
    (import "" "memory" (memory 1))
    (import "" "now" (func $now (param i32)))
    (import "" "steadily" (func $steadily (result i64)))
    (import "" "number" (func $number (result i64)))
    (import "" "bytes" (func $bytes (param i64 i32)))
    (import "" "env" (func $env (param i32)))
    (import "" "exit" (func $exit (param i32)))
    (import "" "handle" (func $handle (result i32)))
    (import "" "write" (func $write (param i32 i32 i32 i32)))
    (import "" "socket" (func $socket (param i32 i32)))
    (func (export "seconds") (result i64) (call $now (i32.const 0)) (i64.load (i32.const 0)))
    (func (export "steadily") (result i64) (call $steadily))
    (func (export "number") (result i64) (i64.add (call $number) (call $number)))
    (func (export "bytes") (param $length i64) (result i64)
      (call $bytes (local.get $length) (i32.const 0))
      (i64.load (i32.load (i32.const 0))))
    (func (export "variables") (result i64) (call $env (i32.const 0)) (i64.load32_u (i32.const 4)))
    (func (export "exit") (result i64) (call $exit (i32.const 0)) (i64.const 0))
    (func (export "write") (result i64)
      (call $write (call $handle) (i32.const 512) (i32.const 7) (i32.const 0))
      (i64.load8_u (i32.const 0)))
    ;; 256 is `err`, and its code is the second.
    (func (export "socket") (result i64)
      (call $socket (i32.const 0) (i32.const 0))
      (i64.add
        (i64.mul (i64.load8_u (i32.const 0)) (i64.const 256)) (i64.load8_u (i32.const 4)))))
  (core instance $core (instantiate $questions (with "" (instance
    (export "memory" (memory $m))
    (export "now" (func $now))
    (export "steadily" (func $steadily))
    (export "number" (func $number))
    (export "bytes" (func $bytes))
    (export "env" (func $env))
    (export "exit" (func $exits))
    (export "handle" (func $handle))
    (export "write" (func $write))
    (export "socket" (func $socket))))))
  (func (export "seconds") (result u64) (canon lift (core func $core "seconds")))
  (func (export "steadily") (result u64) (canon lift (core func $core "steadily")))
  (func (export "number") (result u64) (canon lift (core func $core "number")))
  (func (export "bytes") (param "length" u64) (result u64) (canon lift (core func $core "bytes")))
  (func (export "variables") (result u64) (canon lift (core func $core "variables")))
  (func (export "exit") (result u64) (canon lift (core func $core "exit")))
  (func (export "write") (result u64) (canon lift (core func $core "write")))
  (func (export "socket") (result u64) (canon lift (core func $core "socket"))))
