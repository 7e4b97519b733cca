package output

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework.
const ocsfVersion = "1.8.0"

// Values that the schema publishes (https://schema.ocsf.io).
const (
	ocsfSystem          = 1    // category_uid: System Activity
	ocsfKernelExtension = 1002 // class_uid: Kernel Extension Activity
	ocsfFindings        = 2    // category_uid: Findings
	ocsfDetection       = 2004 // class_uid: Detection Finding
	ocsfCreate          = 1    // activity_id of a finding
	ocsfNew             = 1    // status_id of a finding
	ocsfRule            = 1    // analytic.type_id
	ocsfLoad            = 1    // activity_id
	ocsfUnload          = 2
	ocsfOther           = 99

	ocsfUnknown = 0 // of any enumeration
	ocsfSuccess = 1 // status_id
	ocsfFailure = 2

	ocsfLinux  = 200 // os.type_id
	ocsfSHA256 = 3   // fingerprint.algorithm_id
	ocsfValid  = 1   // digital_signature.state_id
	ocsfBad    = 9
)

// ocsf makes an event of the class Kernel Extension Activity (1002) of an action; a
// request for a module is one of another activity than load and unload. That class wants
// a driver and an actor. A finding is a Detection Finding (2004), with its action as evidence. What
// is neither is a Base Event (class 0), which the schema has for what no class describes.
func ocsf(h host, e *Entry) any {
	d := document{}
	class, category, activity := 0, 0, ocsfOther
	if e.Finding != nil {
		class, category, activity = ocsfDetection, ocsfFindings, ocsfCreate
		d.put("class_name", "Detection Finding")
		d.put("category_name", "Findings")
		d.put("activity_name", "Create")
		ocsfFinding(d, e)
	} else if e.Known != nil {
		class, category = ocsfKernelExtension, ocsfSystem
		d.put("class_name", "Kernel Extension Activity")
		d.put("category_name", "System Activity")
		switch e.Known.Kind {
		case tracer.Load:
			activity = ocsfLoad
			d.put("activity_name", "Load")
		case tracer.Unload:
			activity = ocsfUnload
			d.put("activity_name", "Unload")
		default:
			d.put("activity_name", e.Known.Kind.String())
		}
		ocsfAction(d, e)
	} else {
		d.put("class_name", "Base Event")
		d.put("category_name", "Uncategorized")
		d.put("activity_name", orUnknown(string(e.Kind)))
	}
	d.put("class_uid", class)
	d.put("category_uid", category)
	d.put("activity_id", activity)
	d.put("type_uid", class*100+activity)
	d.put("time", e.Time.UnixMilli())
	d.set("message", e.Text)
	id, name := ocsfSeverity(e)
	d.put("severity_id", id)
	d.put("severity", name)
	d.put("metadata", ocsfMetadata(h, e))
	d.put("device", ocsfDevice(h, e))
	d.put("unmapped", rest(e))
	return d
}

func ocsfSeverity(e *Entry) (int, string) {
	if f := e.Finding; f != nil {
		switch f.Severity {
		case rule.Low:
			return 2, "Low"
		case rule.Medium:
			return 3, "Medium"
		case rule.High:
			return 4, "High"
		case rule.Critical:
			return 5, "Critical"
		}
		return 1, "Informational"
	}
	switch e.level() {
	case levelError:
		return 4, "High"
	case levelWarning:
		return 2, "Low"
	}
	return 1, "Informational"
}

func ocsfFinding(d document, e *Entry) {
	f := e.Finding
	d.put("status_id", ocsfNew)
	d.put("status", "New")
	d.put("is_alert", f.Severity.AtLeast(rule.Medium))
	info := document{}
	info.put("uid", e.ID)
	info.put("title", f.Title)
	info.set("desc", f.Text)
	info.put("created_time", e.Time.UnixMilli())
	info.put("analytic.uid", f.Rule)
	info.put("analytic.name", f.Title)
	info.put("analytic.version", strconv.Itoa(f.Version))
	info.put("analytic.type_id", ocsfRule)
	info.put("analytic.type", "Rule")
	var attacks []document
	for _, id := range f.Attack {
		a := document{}
		technique, _, sub := strings.Cut(id, ".")
		a.put("technique.uid", technique)
		if sub {
			a.put("sub_technique.uid", id)
		}
		attacks = append(attacks, a)
	}
	info.set("attacks", attacks)
	d.put("finding_info", info)
	evidence := document{"data": document{"subject": f.Subject, "facts": f.Evidence, "record": f.Record}}
	if a := e.Known; a != nil {
		evidence.put("actor", ocsfActor(e))
		if a.File != nil {
			evidence.put("file", ocsfModule(a))
			delete(evidence["file"].(document), "version") // which only a driver has
		}
	}
	d.put("evidences", []document{evidence})
}

func ocsfMetadata(h host, e *Entry) document {
	d := document{}
	d.put("version", ocsfVersion)
	d.put("profiles", []string{"host", "container"})
	d.put("product.name", "kmodtrace")
	d.put("product.vendor_name", "kmodtrace")
	d.set("product.version", h.version)
	d.set("uid", e.ID)
	d.put("sequence", e.Seq)
	d.set("event_code", e.Kind)
	d.put("log_name", "kmodtrace")
	d.set("original_time", moment(e.Time))
	return d
}

func ocsfDevice(h host, e *Entry) document {
	d := document{}
	d.put("hostname", orUnknown(h.name))
	d.put("type_id", ocsfUnknown)
	d.set("boot_uid", e.Boot)
	d.put("os.name", "Linux")
	d.put("os.type_id", ocsfLinux)
	d.put("os.type", "Linux")
	d.set("os.kernel_release", h.release)
	return d
}

func ocsfAction(d document, e *Entry) {
	a := e.Known
	status, name := ocsfUnknown, "Unknown"
	switch a.Outcome {
	case tracer.Live, tracer.Unloaded, tracer.Answered:
		status, name = ocsfSuccess, "Success"
	case tracer.Failed:
		status, name = ocsfFailure, "Failure"
	}
	d.put("status_id", status)
	d.put("status", name)
	d.set("status_code", a.ErrnoName)
	if a.Cause != nil {
		d.set("status_detail", a.Cause.Text)
	}
	d.put("driver.file", ocsfModule(a))
	d.put("actor", ocsfActor(e))
}

// ocsfModule is the file of a module; where there is none, as in an unload, the schema
// wants one nevertheless, and it has the module's name.
func ocsfModule(a *record.Record) document {
	var d document
	if a.File != nil {
		d = ocsfFile(a.File)
	} else {
		d = document{"name": orUnknown(a.Module), "type_id": ocsfUnknown}
	}
	d.set("internal_name", a.Module)
	if a.Details != nil {
		d.set("version", a.Details.Version)
		if signed := a.Details.Signed; signed != nil {
			s := document{"algorithm_id": ocsfUnknown, "state_id": ocsfBad, "state": "Bad"}
			if *signed {
				s["state_id"], s["state"] = ocsfValid, "Valid"
			}
			if *signed || a.Image != nil && a.Image.Signed {
				d.put("signatures", []document{s})
			}
		}
	}
	if o := a.Origin; o != nil {
		if o.SHA256 != "" {
			d.put("hashes", []document{{"algorithm_id": ocsfSHA256, "algorithm": "SHA-256", "value": string(o.SHA256)}})
		}
		if p := o.Package; p != nil && p.Name != "" {
			d.put("product.name", p.Name)
			d.set("product.version", p.Version)
		}
		if o.Owner != nil && a.File != nil {
			d.set("owner.name", o.Owner.User)
		}
	}
	return d
}

func ocsfFile(f *tracer.File) document {
	d := document{}
	name := baseName(f.Path)
	d.put("name", orUnknown(name))
	d.set("path", f.Path)
	d.set("ext", extension(name))
	d.set("size", long(f.Size))
	d.set("is_deleted", f.Deleted)
	d.set("uid", strings.Join([]string{decimal(f.Device.Major), decimal(f.Device.Minor), strconv.FormatUint(f.Inode, 10)}, ":"))
	d.put("owner.uid", decimal(f.UID))
	id, kind := ocsfUnknown, "Unknown"
	switch f.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		id, kind = 1, "Regular File"
	case unix.S_IFCHR:
		id, kind = 3, "Character Device"
	case unix.S_IFBLK:
		id, kind = 4, "Block Device"
	case unix.S_IFIFO:
		id, kind = 6, "Named Pipe"
	}
	d.put("type_id", id)
	d.put("type", kind)
	return d
}

func ocsfActor(e *Entry) document {
	a := e.Known
	d := document{}
	p := processOf(a)
	process := ocsfProcess(e, &p)
	process.set("ptid", int64(a.Thread.TID))
	if a.Actor != nil {
		process.set("cmd_line", strings.Join(a.Actor.Args, " "))
		process.set("working_directory", workingDirectory(a))
		ancestry := make([]document, len(a.Actor.Ancestors))
		for i := range a.Actor.Ancestors {
			ancestry[i] = ocsfEntity(e, &a.Actor.Ancestors[i])
		}
		process.set("ancestry", ancestry)
		if len(ancestry) > 0 {
			process.put("parent_process", ocsfProcess(e, &a.Actor.Ancestors[0]))
		}
	}
	d.put("process", process)
	who := a.Responsible()
	if who == nil {
		return d
	}
	d.put("user", ocsfUser(&who.Process))
	if who.Session != nil {
		d.put("session.uid", decimal(*who.Session))
	}
	d.set("session.terminal", who.Terminal)
	return d
}

// ocsfUser is as the journal has it: who logged in, or else whose process it is.
func ocsfUser(p *tracer.Process) document {
	d := document{}
	uid, name := record.Login(p)
	d.set("name", name)
	d.put("uid", decimal(uid))
	return d
}

// ocsfEntity is what the schema wants to know of a process in a line of them.
func ocsfEntity(e *Entry, p *tracer.Process) document {
	d := document{}
	d.put("pid", p.PID)
	d.put("uid", entityID(e, p))
	d.set("name", p.Comm)
	d.set("path", exePath(p))
	if t := began(e, p); !t.IsZero() {
		d.put("created_time", t.UnixMilli())
	}
	return d
}

func ocsfProcess(e *Entry, p *tracer.Process) document {
	d := ocsfEntity(e, p)
	if p.Exe != nil {
		d.put("file", ocsfFile(p.Exe))
	}
	d.set("user.name", p.EffectiveUser)
	d.put("user.uid", decimal(p.EUID))
	if c := p.Cgroup.Container; c != nil && c.ID != "" {
		d.put("container.uid", c.ID)
		d.set("container.runtime", c.Runtime)
	}
	return d
}

// orUnknown is for fields that must have something.
func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// extension is what stands behind the last dot of a file's name.
func extension(name string) string {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return ""
	}
	return name[i+1:]
}
