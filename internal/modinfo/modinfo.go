// Package modinfo is how tests compare what kmodtrace says of a module file with what the modinfo
// of kmod says.
package modinfo

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Record is what modinfo prints of one file: the values of each key, in the file's order but
// for the parameters, which modinfo prints in another.
type Record map[string][]string

// The keys that modinfo prints of a signature, which is not in the file's .modinfo section.
const (
	SignatureKey = "signature"
	kindKey      = "sig_id"
	signerKey    = "signer"
	keyKey       = "sig_key"
	hashKey      = "sig_hashalgo"

	fileKey      = "filename"
	parameterKey = "parm"
	typeKey      = "parmtype"
)

// Split splits the output of `modinfo -0`: `key=value` ended by NULs, one "filename" for each
// file. That and "parm" it writes with a colon and blanks, and it breaks the lines of a long
// signature.
func Split(out string) []Record {
	var records []Record
	for line := range strings.SplitSeq(out, "\x00") {
		separator := "="
		if strings.HasPrefix(line, fileKey+":") || strings.HasPrefix(line, parameterKey+":") {
			separator = ":"
		}
		key, value, ok := strings.Cut(line, separator)
		if separator == ":" {
			value = strings.TrimLeft(value, " ")
		}
		if !ok {
			continue
		}
		if key == fileKey {
			records = append(records, make(Record))
		}
		if len(records) == 0 {
			continue
		}
		record := records[len(records)-1]
		record[key] = append(record[key], strings.ReplaceAll(value, "\n\t\t", ""))
	}
	for _, record := range records {
		slices.Sort(record[parameterKey])
	}
	return records
}

// Of gives the same of what `kmodtrace info --json` prints. The bytes of the signature are not
// in that.
func Of(info []byte) (Record, error) {
	var file struct {
		Path       string
		Fields     []struct{ Key, Value string }
		Parameters []struct{ Name, Type, Description string }
		Signature  *struct {
			Kind, Signer, Hash string
			KeyID              string `json:"key_id"`
		}
	}
	if err := json.Unmarshal(info, &file); err != nil {
		return nil, err
	}
	record := Record{fileKey: {file.Path}}
	for _, field := range file.Fields {
		if field.Key != parameterKey && field.Key != typeKey {
			record[field.Key] = append(record[field.Key], field.Value)
		}
	}
	for _, p := range file.Parameters {
		text := p.Name + ":" + p.Description
		if p.Type != "" {
			text += fmt.Sprintf(" (%s)", p.Type)
		}
		if p.Description == "" && p.Type != "" {
			text = p.Name + ":" + p.Type
		}
		record[parameterKey] = append(record[parameterKey], text)
	}
	slices.Sort(record[parameterKey])
	if s := file.Signature; s != nil {
		record[kindKey], record[signerKey] = []string{s.Kind}, []string{s.Signer}
		record[keyKey], record[hashKey] = []string{s.KeyID}, []string{s.Hash}
	}
	return record, nil
}
