package kmod

import "strings"

// parseModinfo reads a .modinfo section: `key=value` texts, each ended by a NUL, with
// NULs to spare between them.
func parseModinfo(img *image, section string) []Field {
	fields := []Field{}
	for line := range strings.SplitSeq(section, "\x00") {
		if key, value, ok := strings.Cut(line, "="); ok && img.room(len(fields)) {
			fields = append(fields, Field{key, value})
		}
	}
	return fields
}

// parameters joins `parm=name:description` with `parmtype=name:type`.
func parameters(fields []Field) []Parameter {
	params := []Parameter{}
	index := make(map[string]int)
	for _, field := range fields {
		if field.Key != "parm" && field.Key != "parmtype" {
			continue
		}
		name, text, _ := strings.Cut(field.Value, ":")
		i, known := index[name]
		if !known {
			i = len(params)
			index[name] = i
			params = append(params, Parameter{Name: name})
		}
		if field.Key == "parm" {
			params[i].Description = text
		} else {
			params[i].Type = text
		}
	}
	return params
}
