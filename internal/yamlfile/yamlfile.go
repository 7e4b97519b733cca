// Package yamlfile reads files of YAML that people write: a key that there is not is an error, and errors say where.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
)

// Unmarshal reads a text into what v points to. An empty text leaves it as it is.
func Unmarshal(text []byte, v any) error {
	err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(v)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return Located(err)
}

// Located gives an error of the parser on one line: where in the text it is, and what.
func Located(err error) error {
	if err == nil {
		return nil
	}
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil || at.GetToken().Position == nil {
		first, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
		return errors.New(first)
	}
	p := at.GetToken().Position
	return fmt.Errorf("line %d, column %d: %s", p.Line, p.Column, strings.ReplaceAll(at.GetMessage(), "\n", " "))
}
