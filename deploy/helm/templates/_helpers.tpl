{{- define "skewless.name" -}}
{{- if contains "skewless" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-skewless" .Release.Name }}{{ end -}}
{{- end }}

{{- define "skewless.selector" -}}
app.kubernetes.io/name: skewless
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "skewless.labels" -}}
{{ include "skewless.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "skewless.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* What of the settings lies in the folder of one pod: a text, empty where all can be shared. */}}
{{- define "skewless.embedded" -}}
{{- $settings := .Values.settings -}}
{{- $online := $settings.online | default dict -}}
{{- $stores := $settings.stores | default dict -}}
{{- $store := $online -}}
{{- if $online.store }}{{ $store = get $stores $online.store | default dict }}{{ end -}}
{{- $kind := $store.kind | default "lmdb" -}}
{{- $mirror := (get $stores ($online.mirror | default "") | default dict).kind | default "" -}}
{{- $journal := ($settings.journal | default dict).kind | default "" -}}
{{- $registry := ($settings.registry | default dict).kind | default "sqlite" -}}
{{- $offline := $settings.offline | default dict -}}
{{- $found := list -}}
{{- if has $kind (list "lmdb" "sqlite") }}{{ $found = append $found (printf "the online store (%s)" $kind) }}{{ end -}}
{{- if has $mirror (list "lmdb" "sqlite") }}{{ $found = append $found (printf "its mirror (%s)" $mirror) }}{{ end -}}
{{- if eq $registry "sqlite" }}{{ $found = append $found "the registry (sqlite)" }}{{ end -}}
{{- if and (not (has $kind (list "lmdb" "sqlite" "postgres"))) (has $journal (list "" "lmdb" "sqlite")) }}{{ $found = append $found "the journal" }}{{ end -}}
{{- if not $offline.log }}{{ $found = append $found "the offline store" }}{{ end -}}
{{- join ", " $found -}}
{{- end }}

{{/* skewless.toml. Helm reads every number as one with a fraction; whole ones are whole. */}}
{{- define "skewless.toml" -}}
{{- regexReplaceAll `(?m)^(\s*[\w-]+ = -?\d+)\.0$` (toToml .Values.settings) "${1}" -}}
{{- end }}

{{/* What is refused, and why. */}}
{{- define "skewless.check" -}}
{{- $embedded := include "skewless.embedded" . -}}
{{- if and $embedded (gt (int .Values.replicas) 1) -}}
{{- fail (printf "replicas is %d, and these are embedded in the folder of one pod: %s. Say replicas: 1, or settings with stores that machines share (docs/stores.md)." (int .Values.replicas) $embedded) -}}
{{- end -}}
{{- $toml := include "skewless.toml" . -}}
{{- if and .Values.network.enabled (not .Values.network.egress) (or (not $embedded) (contains "://" $toml)) -}}
{{- fail "network.egress is empty, so that no store could be reached. Say where they are, or network.enabled: false." -}}
{{- end -}}
{{- if or (regexMatch `://[^/?#\s"]*:([^$@/\s"]|\$[^{@/\s"])[^@/\s"]*@` $toml) (regexMatch `(?mi)^\s*"?[\w.-]*(passw|passphrase|secret|token|credential|(api|access|account|private)_?key)[\w.-]*"?\s*=\s*"([^$"]|\$[^{"])` $toml) (regexMatch `(?i)\bpassword\s*=\s*([^$\s"]|\$[^{\s"])` $toml) -}}
{{- fail "settings hold a password or a key as it is. Write ${NAME}, and NAME in secrets." -}}
{{- end -}}
{{- range $option := .Values.options -}}
{{- if or (hasPrefix "--host" $option) (hasPrefix "--port" $option) (hasPrefix "--tls-" $option) (hasPrefix "--workers" $option) (hasPrefix "--repo" $option) (hasPrefix "--anonymous" $option) -}}
{{- fail (printf "%s is not one of options: the chart says it, or nobody does." $option) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "skewless.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What every container has: image, rights, variables, files. */}}
{{- define "skewless.container" -}}
image: {{ include "skewless.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  capabilities:
    drop: [ALL]
env:
  - name: SKEWLESS_REPO
    value: /repo
  {{- range $name, $value := .Values.environment }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
  {{- range $name, $secret := .Values.secrets }}
  - name: {{ $name }}_FILE
    value: /run/secrets/skewless/{{ $name }}
  {{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
volumeMounts:
  - name: settings
    mountPath: /repo/skewless.toml
    subPath: skewless.toml
    readOnly: true
  - name: state
    mountPath: /repo/.skewless
  - name: tmp
    mountPath: /tmp
  {{- if .Values.secrets }}
  - name: secrets
    mountPath: /run/secrets/skewless
    readOnly: true
  {{- end }}
  {{- if and .server .Values.tls.secret }}
  - name: tls
    mountPath: /run/tls
    readOnly: true
  {{- end }}
{{- end }}

{{- define "skewless.volumes" -}}
- name: settings
  configMap:
    name: {{ include "skewless.name" . }}
- name: tmp
  emptyDir: {}
- name: state
  {{- if include "skewless.embedded" . }}
  persistentVolumeClaim:
    claimName: {{ .Values.volume.claim | default (include "skewless.name" .) }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- if .Values.secrets }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $name, $secret := .Values.secrets }}
      - secret:
          name: {{ $secret.secret }}
          items:
            - key: {{ $secret.key }}
              path: {{ $name }}
      {{- end }}
{{- end }}
{{- if and .server .Values.tls.secret }}
- name: tls
  secret:
    secretName: {{ .Values.tls.secret }}
    defaultMode: 0440
{{- end }}
{{- end }}
