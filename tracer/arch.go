package tracer

import "runtime"

const isARM64 = runtime.GOARCH == "arm64"
