#!/usr/bin/env bash
# The checked-in completion scripts in the shells themselves: load one, type `opsctl que`, press Tab. A service answers, so
# that ids are offered with their state.
. "$(dirname "$0")/lib/serve.bash" "$@"
need curl
serve || fail "opsctl serve does not start"
scripts=$(realpath "$(dirname "$0")/../../completions")
mkdir "$work/bin"
ln -s "$opsctl" "$work/bin/opsctl"
tried=0

# completes SHELL WORDS-OFFERED-FOR-que WORDS-OFFERED-FOR-'queue st' WORDS-OFFERED-FOR-'circuit reset s'
completes() {
  local shell=$1 noun=$2 verbs=$3 platforms=$4
  case " $platforms " in *' slack '*) ;; *) fail "$shell offers for \`opsctl circuit reset s\`: $platforms" ;; esac
  case " $platforms " in *' sheets '*) ;; *) fail "$shell offers for \`opsctl circuit reset s\`: $platforms" ;; esac
  case " $platforms " in *' notion '*) fail "$shell offers what does not begin with s: $platforms" ;; esac
  case " $noun " in *' queue '*) ;; *) fail "$shell offers for \`opsctl que\`: $noun" ;; esac
  case " $noun " in *' circuit '*) fail "$shell offers what does not begin with que: $noun" ;; esac
  case " $verbs " in *' status '*) ;; *) fail "$shell offers for \`opsctl queue st\`: $verbs" ;; esac
  case " $verbs " in *' stuck '*) ;; *) fail "$shell offers for \`opsctl queue st\`: $verbs" ;; esac
  echo "$shell: que -> $noun; queue st -> $verbs; circuit reset s -> $platforms"
  tried=$((tried + 1))
}

in_home() { env -i PATH="$work/bin:$PATH" HOME="$work" TERM=dumb "${context[@]}" "$@"; }

if command -v bash >/dev/null 2>&1; then
  offered() {
    in_home bash --norc --noprofile -c '
      . "$1" || exit 1
      shift
      words=$(complete -p opsctl) || exit 1
      function_name=${words##*-F }; function_name=${function_name%% *}
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
      "$function_name" opsctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
      echo ${COMPREPLY[@]}' bash "$scripts/opsctl.bash" "$@"
  }
  completes bash "$(offered opsctl que)" "$(offered opsctl queue st)" "$(offered opsctl circuit reset s)"
else
  echo "bash: not installed"
fi

if command -v fish >/dev/null 2>&1; then
  offered() { in_home fish --no-config -c "source '$scripts/opsctl.fish'; complete -C '$1'" | cut -f1 | tr '\n' ' '; }
  completes fish "$(offered 'opsctl que')" "$(offered 'opsctl queue st')" "$(offered 'opsctl circuit reset s')"
  told=$(in_home fish --no-config -c "source '$scripts/opsctl.fish'; complete -C 'opsctl circuit reset sl'")
  [ "$told" = "slack	circuit CLOSED" ] || fail "fish says of slack: $told"
else
  echo "fish: not installed"
fi

if command -v zsh >/dev/null 2>&1; then
  # A pseudo terminal, since zsh completes only where somebody types: what compadd is given is what it would offer.
  offered() {
    in_home zsh -f -c '
      zmodload zsh/zpty
      zpty tab zsh -f -i
      zpty -w tab "PS1=; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -d $HOME/zcompdump"
      zpty -w tab "source $1; stty -echo 2>/dev/null; bindkey \"^I\" list-choices; LISTMAX=0; print READY"
      zpty -r -m tab seen "*READY*" || exit 1
      zpty -w -n tab "$2"$'"'\t'"'
      zpty -r -t tab seen
      sleep 2
      while zpty -r -t tab part; do print -rn -- "$part"; done
      zpty -d tab' zsh "$scripts/_opsctl" "$1" | sed 's/.*READY//' | tr -cs "[:alnum:]_-" " "
  }
  completes zsh "$(offered 'opsctl que')" "$(offered 'opsctl queue st')" "$(offered 'opsctl circuit reset s')"
else
  echo "zsh: not installed"
fi
[ "$tried" -gt 0 ] || skip "none of bash, zsh and fish is installed"
