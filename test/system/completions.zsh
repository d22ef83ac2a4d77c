# Prints into the file $2 what zsh offers when TAB is pressed after the command line $3, with the completion script $1.
# It runs an interactive zsh on a terminal of its own: completion exists nowhere else.
zmodload zsh/zpty
zpty probe 'TERM=dumb zsh -f -i'
setup=(
  'unsetopt auto_list auto_menu'
  'autoload -Uz compinit'
  'compinit -u -D'
  "source ${(q)1}"
  # Each call adds matches, except those that only filter a list and must not do so twice.
  'compadd() {
     if (( ! $@[(I)-O|-A|-D] )); then
       local -a hits
       builtin compadd -O hits "$@"
       print -rl -- $hits >> '${(q)2}'
     fi
     builtin compadd "$@"
   }'
  # The key after TAB: it is read once the completion has ended.
  "completed() { print -n >> ${(q)2}; print -n > ${(q)2}.done }"
  'zle -N completed'
  "bindkey '^G' completed"
  'print READY-NOW'
)
zpty -w probe "${(F)setup}"
zpty -r -m probe echoed '*READY-NOW*READY-NOW*'
zpty -w -n probe "$3"$'\t\a'
for (( i = 0; i < 1000; i++ )); do
  [[ -e $2.done ]] && break
  sleep 0.02
done
zpty -d probe
rm "$2.done"
