# bash completion for cipectl(8)

# Tunnels: those that have a file, and those that are up, for whoever may ask.
_cipectl_tunnels() {
  local directory=${1:-/etc/cipe} file
  for file in "$directory"/*.conf; do
    [[ -e $file ]] && file=${file##*/} && printf '%s\n' "${file%.conf}"
  done
  [[ ${2:-} == up ]] && cipectl show tunnels --field name 2>/dev/null
}

_cipectl() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local verb='' config=/etc/cipe word i positional=0 words=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --config-dir) config=${COMP_WORDS[i + 1]}; ((i++)) ;;
      --runtime-dir | --state-dir | --field) ((i++)) ;;
      -*) ;;
      *) if [[ -z $verb ]]; then verb=$word; else ((positional++)); fi ;;
    esac
  done
  COMPREPLY=()
  case $previous in
    --config-dir | --runtime-dir | --state-dir)
      mapfile -t COMPREPLY < <(compgen -d -- "$current")
      return ;;
    --field) return ;;
  esac
  if [[ $current == -* ]]; then
    words='--json --config-dir --runtime-dir --state-dir --help'
    case $verb in
      up) words+=' --no-wait' ;;
      reload) words+=' --dry-run' ;;
      show) words+=' --script --field' ;;
      convert) words+=' --keys' ;;
    esac
  else
    case $verb:$positional in
      :*) words='up down reload show monitor forget-clock convert genkey pubkey genpsk version' ;;
      up:0) words=$(_cipectl_tunnels "$config") ;;
      down:0 | reload:0 | monitor:0 | forget-clock:0) words=$(_cipectl_tunnels "$config" up) ;;
      show:0) words='tunnels peers sessions drops' ;;
      show:1) words=$(_cipectl_tunnels "$config" up) ;;
      convert:0) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current" | sort -u)
}

complete -F _cipectl cipectl
