{{- define "hfrc.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{- define "hfrc.fullname" -}}
{{- $name := include "hfrc.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | replace "." "-" | trunc 45 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 45 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* For what has no namespace: two releases of one name in two namespaces. */}}
{{- define "hfrc.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "hfrc.fullname" .) -}}
{{- end -}}

{{- define "hfrc.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hfrc.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end -}}

{{- define "hfrc.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (include "hfrc.name" .)
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "hf-runner-controller"
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/* metadata of one object: dict "root" $ "name" NAME, and "namespace", "component", "labels", "annotations" where it has them. */}}
{{- define "hfrc.metadata" -}}
{{- $root := .root -}}
{{- $labels := include "hfrc.labels" $root | fromYaml -}}
{{- if .component }}{{ $_ := set $labels "app.kubernetes.io/component" .component }}{{ end -}}
{{- $labels = mustMergeOverwrite (dict) (.labels | default dict) $labels -}}
{{- $annotations := mustMergeOverwrite (dict) $root.Values.commonAnnotations (.annotations | default dict) -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "hfrc.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hfrc.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "hfrc.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* 90s, 4m or 2h as seconds. */}}
{{- define "hfrc.seconds" -}}
{{- mul (regexFind "^[0-9]+" . | int) (index (dict "s" 1 "m" 60 "h" 3600) (regexFind "[smh]$" .)) -}}
{{- end -}}

{{/* The ConfigMap by which people stop all launches. */}}
{{- define "hfrc.stopSwitch" -}}
{{- printf "%s-pause" (include "hfrc.fullname" .) -}}
{{- end -}}

{{/* What the controller needs where RunnerPools are; docs/reference/rbac.md. */}}
{{- define "hfrc.poolRules" -}}
- apiGroups: [hfrunners.dev]
  resources: [runnerpools]
  verbs: [get, list, watch, patch]
- apiGroups: [hfrunners.dev]
  resources: [runnerpools/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "hfrc.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secrets.names }}
  resourceNames:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  verbs: [get]
{{- end -}}

{{/* The ClusterRole that RoleBindings bind where Secrets may be read. */}}
{{- define "hfrc.secretsRole" -}}
{{- printf "%s-secrets" (include "hfrc.clusterName" .) -}}
{{- end -}}

{{/* Where RoleBindings let Secrets be read, as JSON. */}}
{{- define "hfrc.readableNamespaces" -}}
{{- prepend (.Values.rbac.secrets.namespaces | default list) .Release.Namespace | uniq | toJson -}}
{{- end -}}

{{/* "yes" where the Secrets of all namespaces may be read. While nobody has chosen, an installation keeps what its ClusterRole grants
     now, so that an upgrade takes no right away that somebody relies on; a first installation has none. */}}
{{- define "hfrc.readsAllSecrets" -}}
{{- $chosen := .Values.rbac.secrets.clusterWide -}}
{{- if kindIs "bool" $chosen -}}
{{- if $chosen }}yes{{ end -}}
{{- else if and .Values.rbac.create (not .Values.watch.namespaces) -}}
{{- $role := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "hf-runner-controller-all-namespaces" -}}
{{- $annotations := dig "metadata" "annotations" dict $role -}}
{{- $owner := printf "%s/%s" (index $annotations "meta.helm.sh/release-namespace") (index $annotations "meta.helm.sh/release-name") -}}
{{- $granted := false -}}
{{- range (dig "rules" list $role) -}}
{{- if and (has "" (dig "apiGroups" list .)) (has "secrets" (dig "resources" list .)) }}{{ $granted = true }}{{ end -}}
{{- end -}}
{{- if and $granted (eq $owner (printf "%s/%s" .Release.Namespace .Release.Name)) }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{- define "hfrc.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "hfrc.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* How the pods of Jobs run: like the controller's. */}}
{{- define "hfrc.jobPod" -}}
automountServiceAccountToken: true # the account says false
restartPolicy: Never
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "hfrc.jobContainer" -}}
image: {{ include "hfrc.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
# What goes wrong is what `kubectl describe pod` shows, also where nobody kept the log.
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* Whether a type of another project is to be rendered: dict "root" $ "kind" "monitoring.coreos.com/v1/ServiceMonitor". */}}
{{- define "hfrc.served" -}}
{{- $values := .root.Values.monitoring -}}
{{- if or (eq $values.whenMissing "render") (.root.Capabilities.APIVersions.Has .kind) -}}
yes
{{- else if eq $values.whenMissing "fail" -}}
{{- fail (printf "this cluster has no %s: install its CRD, or set monitoring.whenMissing to skip or render" .kind) -}}
{{- end -}}
{{- end -}}
