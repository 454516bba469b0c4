-- Health of a RunnerPool for Argo CD: resource.customizations.health.hfrunners.dev_RunnerPool in argocd-cm.
local condition = {}
local status = obj.status or {}
for _, c in ipairs(status.conditions or {}) do
  condition[c.type] = c
end

local function is(kind, value)
  return condition[kind] ~= nil and condition[kind].status == value
end

local function health(name, kind)
  local c = condition[kind]
  return { status = name, message = c.reason .. ": " .. c.message }
end

-- Before the controller has looked at this very spec, what the conditions say is about another one.
if condition.Ready == nil or status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The controller has not looked at this change yet" }
end
if is("Stalled", "True") then
  return health("Degraded", "Stalled")
end
if is("Reconciling", "True") then
  return health("Progressing", "Reconciling")
end
if is("Ready", "True") then
  if obj.spec.paused then
    return { status = "Suspended", message = "spec.paused: nothing is launched" }
  end
  return health("Healthy", "Ready")
end
if is("Ready", "False") then
  return health("Degraded", "Ready")
end
return health("Progressing", "Ready")
