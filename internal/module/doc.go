// Package module holds what packages kmod and tracer both must know of modules: the words for
// their taints, and the name that a module in a file has. Package kmod owns these facts and
// exports them; they are here because kmod and tracer never import each other.
package module
