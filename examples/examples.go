// Package examples holds five products that people know, each as a file of access
// as code, and what their administrators do with them. The people and groups in
// them are those of the demo, which loads all five:
//
//	gatehouse demo
//	gatehouse plan examples/clicktime.yaml
//
// docs/reference-products.md says which capability of which product each shows.
package examples

import "embed"

// Files are the examples, each a YAML file that docs/as-code.md describes.
//
//go:embed *.yaml
var Files embed.FS
