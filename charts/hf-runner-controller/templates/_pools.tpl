{{/* The pools of the values as JSON: by name, with what they have in common below their own fields, and their namespace. */}}
{{- define "hfrc.pools" -}}
{{- $pools := dict -}}
{{- range $pool, $own := .Values.pools -}}
{{- if kindIs "map" $own -}}{{/* null takes a pool away that an earlier values file has */}}
{{- $all := mustMergeOverwrite (dict) (deepCopy $.Values.poolDefaults) (deepCopy $own) -}}
{{- $_ := set $all "namespace" (default $.Release.Namespace $all.namespace) -}}
{{- $_ := set $pools $pool $all -}}
{{- end -}}
{{- end -}}
{{- toJson $pools -}}
{{- end -}}

{{/* Who the Job that applies them is. */}}
{{- define "hfrc.poolsAccount" -}}
{{- printf "%s-pools" (include "hfrc.fullname" .) -}}
{{- end -}}

{{/* The Secrets that they name as JSON: by namespace, `all` of them, and those of `secretEnv`. */}}
{{- define "hfrc.poolsSecrets" -}}
{{- $named := dict -}}
{{- range include "hfrc.pools" . | fromJson -}}
{{- $spec := .spec | default dict -}}
{{- $known := get $named .namespace | default (dict "all" list "secretEnv" list) -}}
{{- $variables := list -}}
{{- range $spec.secretEnv }}{{ $variables = append $variables .secret }}{{ end -}}
{{- $all := concat $known.all (list (dig "github" "credentialsSecret" "" $spec) (dig "huggingface" "tokenSecret" "" $spec)) $variables -}}
{{- $_ := set $named .namespace (dict
  "all" ($all | compact | uniq | sortAlpha)
  "secretEnv" (concat $known.secretEnv $variables | compact | uniq | sortAlpha)) -}}
{{- end -}}
{{- toJson $named -}}
{{- end -}}
