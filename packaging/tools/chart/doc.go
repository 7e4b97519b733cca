// Package chart has the tests of packaging/helm/kmodtrace: helm itself checks and renders it, and the API's own types read what it
// rendered.
package chart
