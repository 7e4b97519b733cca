package output

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kmodtrace/kmodtrace/journal"
	"github.com/kmodtrace/kmodtrace/record"
	"github.com/kmodtrace/kmodtrace/rule"
	"github.com/kmodtrace/kmodtrace/tracer"
)

// ecsVersion is the version of the Elastic Common Schema.
const ecsVersion = "9.4.0"

// ecs makes a document of the Elastic Common Schema. What the schema has no field for is
// below kmodtrace. Gaps are events without a category, for none fits; what is known of
// the kernel, as an inventory has it, is a state.
func ecs(h host, e *Entry) any {
	d := document{}
	d.set("@timestamp", moment(e.Time))
	d.put("ecs.version", ecsVersion)
	d.set("message", e.Text)
	d.put("log.level", e.level().String())
	d.put("event.severity", int(e.level()))
	d.put("event.kind", "event")
	d.put("event.module", "kmodtrace")
	d.put("event.provider", "kmodtrace")
	d.set("event.id", e.ID)
	d.put("event.sequence", e.Seq)
	d.put("event.action", orUnknown(string(e.Kind)))
	ecsHost(d, h, e)
	switch {
	case e.Finding != nil:
		if e.Known != nil {
			ecsAction(d, e)
		}
		ecsFinding(d, e.Finding)
	case e.Known != nil:
		d.put("event.dataset", "kmodtrace.action")
		ecsAction(d, e)
	case e.Kind == journal.KindInventory, e.Kind == journal.KindPresent:
		d.put("event.dataset", "kmodtrace.inventory")
		d.put("event.kind", "state")
		d.put("event.category", []string{"driver"})
		d.put("event.type", []string{"info"})
	default:
		d.put("event.dataset", "kmodtrace.gap")
	}
	d.put("kmodtrace", ecsRest(e))
	return d
}

// ecsRest: Elasticsearch takes a field's type from the first that comes. So a body that
// is not an object, where all others are, is not put in its place.
func ecsRest(e *Entry) document {
	d := rest(e)
	record, ok := d["record"].(json.RawMessage)
	if ok && !strings.HasPrefix(strings.TrimSpace(string(record)), "{") {
		delete(d, "record")
		d.put("record_text", string(record))
	}
	return d
}

func ecsHost(d document, h host, e *Entry) {
	d.set("host.name", h.name)
	d.set("host.hostname", h.name)
	d.set("host.architecture", h.machine)
	d.set("host.boot.id", e.Boot)
	d.put("host.os.type", "linux")
	d.set("host.os.kernel", h.release)
}

// ecsFinding makes an alert of an event of the action, where that is known.
func ecsFinding(d document, f *rule.Finding) {
	d.put("event.dataset", "kmodtrace.finding")
	d.put("event.kind", "alert")
	d.put("event.action", string(journal.KindFinding))
	d.put("event.category", []string{"driver"})
	if _, there := d["event"].(document)["type"]; !there {
		d.put("event.type", []string{"info"})
	}
	d.put("rule.id", f.Rule)
	d.put("rule.name", f.Title)
	d.put("rule.version", strconv.Itoa(f.Version))
	d.put("rule.ruleset", "kmodtrace")
	if len(f.Attack) == 0 {
		return
	}
	var techniques, subs []string
	for _, id := range f.Attack {
		technique, _, sub := strings.Cut(id, ".")
		if !slices.Contains(techniques, technique) {
			techniques = append(techniques, technique)
		}
		if sub {
			subs = append(subs, id)
		}
	}
	d.put("threat.framework", "MITRE ATT&CK")
	d.put("threat.technique.id", techniques)
	d.set("threat.technique.subtechnique.id", subs)
}

func ecsAction(d document, e *Entry) {
	a := e.Known
	d.put("event.action", a.Kind.String())
	d.put("event.category", []string{"driver"})
	kind := "info"
	switch a.Kind {
	case tracer.Load:
		kind = "start"
	case tracer.Unload:
		kind = "end"
	}
	d.put("event.type", []string{kind})
	outcome := "unknown"
	switch a.Outcome {
	case tracer.Live, tracer.Unloaded, tracer.Answered:
		outcome = "success"
	case tracer.Failed:
		outcome = "failure"
	}
	d.put("event.outcome", outcome)
	d.set("event.start", moment(a.Time))
	if a.Took > 0 && !a.Time.IsZero() {
		d.set("event.end", moment(a.Time.Add(a.Took)))
	}
	d.set("event.duration", int64(a.Took))
	if a.Cause != nil {
		d.set("event.reason", a.Cause.Text)
		d.set("error.message", a.Cause.Text)
		d.set("error.type", string(a.Cause.Code))
	}
	d.set("error.code", a.ErrnoName)
	ecsFile(d, a)
	ecsActor(d, e)
	ecsWho(d, a)
}

func ecsFile(d document, a *record.Record) {
	if f := a.File; f != nil {
		name := baseName(f.Path)
		d.set("file.name", name)
		d.set("file.path", f.Path)
		if name != "" {
			d.set("file.directory", path.Dir(f.Path))
		}
		d.set("file.extension", extension(name))
		d.set("file.size", long(f.Size))
		d.put("file.inode", strconv.FormatUint(f.Inode, 10))
		d.put("file.device", decimal(f.Device.Major)+":"+decimal(f.Device.Minor))
		d.put("file.uid", decimal(f.UID))
		d.put("file.gid", decimal(f.GID))
		if f.Mode != 0 {
			d.put("file.mode", fmt.Sprintf("%04o", f.Mode&0o7777))
		}
		if f.Mode&unix.S_IFMT == unix.S_IFREG {
			d.put("file.type", "file")
		}
	}
	if a.Image != nil {
		d.put("file.code_signature.exists", a.Image.Signed)
	}
	if a.Details != nil && a.Details.Signed != nil {
		d.put("file.code_signature.valid", *a.Details.Signed)
		d.put("file.code_signature.trusted", *a.Details.Signed)
	}
	if sum := a.Content(); sum != "" {
		d.put("related.hash", []string{string(sum)})
	}
	o := a.Origin
	if o == nil {
		return
	}
	d.set("file.hash.sha256", string(o.SHA256))
	d.set("file.code_signature.subject_name", o.Signer)
	if o.Owner != nil {
		d.set("file.owner", o.Owner.User)
		d.set("file.group", o.Owner.Group)
	}
	if p := o.Package; p != nil {
		d.set("package.name", p.Name)
		d.set("package.version", p.Version)
		d.set("package.type", p.Manager)
	}
}

func ecsActor(d document, e *Entry) {
	a := e.Known
	p := processOf(a)
	ecsProcess(d, "process.", e, &p)
	d.set("process.thread.id", int64(a.Thread.TID))
	d.set("process.thread.name", a.Thread.Comm)
	if a.Actor == nil {
		return
	}
	if args := a.Actor.Args; len(args) > 0 {
		d.put("process.args", args)
		d.set("process.command_line", strings.Join(args, " "))
		if !a.Actor.ArgsCut {
			d.put("process.args_count", len(args))
		}
	}
	d.set("process.working_directory", workingDirectory(a))
	if len(a.Actor.Ancestors) > 0 {
		ecsProcess(d, "process.parent.", e, &a.Actor.Ancestors[0])
	}
}

func ecsProcess(d document, at string, e *Entry, p *tracer.Process) {
	d.put(at+"pid", p.PID)
	d.put(at+"entity_id", entityID(e, p))
	d.set(at+"name", p.Comm)
	d.set(at+"executable", exePath(p))
	d.set(at+"start", moment(began(e, p)))
	d.put(at+"user.id", decimal(p.EUID))
	d.set(at+"user.name", p.EffectiveUser)
	d.put(at+"real_user.id", decimal(p.UID))
	d.set(at+"real_user.name", p.User)
}

// ecsWho is as the journal has it: who logged in, or else whose rights the process has.
func ecsWho(d document, a *record.Record) {
	who := a.Responsible()
	if who == nil {
		return
	}
	uid, name := record.Login(&who.Process)
	d.put("user.id", decimal(uid))
	d.set("user.name", name)
	d.put("user.effective.id", decimal(who.EUID))
	d.set("user.effective.name", who.EffectiveUser)
	d.put("related.user", []string{record.User(&who.Process)})
	if c := who.Cgroup.Container; c != nil {
		d.set("container.id", c.ID)
		d.set("container.runtime", c.Runtime)
		d.set("container.image.name", c.Image)
	}
	d.set("orchestrator.resource.id", who.Cgroup.PodUID)
	if who.Cgroup.PodUID != "" {
		d.put("orchestrator.type", "kubernetes")
		d.put("orchestrator.resource.type", "pod")
	}
	if pod := who.Cgroup.Pod; pod != nil {
		d.set("orchestrator.namespace", pod.Namespace)
		d.set("orchestrator.resource.name", pod.Name)
		d.set("container.name", pod.Container)
	}
}
