#include "control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "control/server_core.h"

namespace cipe::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kAcceptPause = 1s;  // after running out of descriptors

absl::StatusOr<ucred> PeerCredentials(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) return credentials;
  return absl::InternalError(absl::StrCat("control socket: SO_PEERCRED: ", strerror(errno)));
}

}  // namespace

ServerCore::ServerCore(EventLoop& loop, UniqueFd listener, Handler handler, ServerOptions options)
    : loop_(loop),
      listener_(std::move(listener)),
      handler_(std::move(handler)),
      options_(std::move(options)) {}

ServerCore::~ServerCore() {
  loop_.Cancel(accept_again_);
  loop_.Unwatch(listener_.get());
  while (!clients_.empty()) Close(clients_.begin()->first);
}

absl::Status ServerCore::Start() {
  const int flags = fcntl(listener_.get(), F_GETFL);
  if (flags < 0 || fcntl(listener_.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return absl::InternalError(absl::StrCat("control socket: fcntl: ", strerror(errno)));
  }
  return loop_.Watch(listener_.get(), EPOLLIN, [this](uint32_t) { OnAccept(); });
}

void ServerCore::OnAccept() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (fd.valid()) return Admit(std::move(fd));
  if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
  // The connection stays in the backlog and the socket readable: look away for a while.
  Log(Severity::kWarning, "control socket: accept: ", strerror(errno), "; trying again in 1 s");
  (void)loop_.SetEvents(listener_.get(), 0);
  accept_again_ = loop_.After(kAcceptPause, [this] {
    accept_again_ = TimerId::kNone;
    (void)loop_.SetEvents(listener_.get(), EPOLLIN);
  });
}

void ServerCore::Admit(UniqueFd fd) {
  const absl::StatusOr<ucred> who = options_.credentials(fd.get());
  const bool may_change = who.ok() && (who->uid == 0 || who->uid == options_.owner);
  const int places = options_.max_clients - (may_change ? 0 : options_.reserved_clients);
  const uint64_t id = next_id_++;
  auto client = std::make_unique<ServerClient>(std::move(fd), may_change);
  if (clients() >= places) {
    client->Queue(SerializeReply(
        ErrorReply({kErrorTooManyClients,
                    absl::StrCat("ciped has ", clients(), " clients already: try again later")})));
    client->Flush();  // a fresh socket takes this much, and nobody waits if not
    return;
  }
  const absl::Status watched =
      loop_.Watch(client->fd(), client->events, [this, id](uint32_t events) {
        // A handler may destroy the server from in here.
        const std::shared_ptr<ServerCore> self = shared_from_this();
        OnEvents(id, events);
      });
  if (!watched.ok()) return Log(Severity::kWarning, "control socket: ", watched.message());
  client->active_at = loop_.Now();
  client->timer = loop_.After(options_.idle_timeout, [this, id] { CheckIdle(id); });
  clients_.emplace(id, std::move(client));
}

ServerClient* ServerCore::Find(uint64_t id) {
  const auto it = clients_.find(id);
  return it == clients_.end() ? nullptr : it->second.get();
}

void ServerCore::OnEvents(uint64_t id, uint32_t events) {
  ServerClient* client = Find(id);
  if (client == nullptr) return;
  if ((events & EPOLLIN) != 0 && !client->end_of_input) {
    const ServerClient::ReadResult result = client->Receive();
    if (result == ServerClient::ReadResult::kFailed) return Close(id);
    client->end_of_input = result == ServerClient::ReadResult::kEndOfInput;
  }
  if ((events & EPOLLOUT) != 0) {
    const size_t before = client->unsent();
    if (!client->Flush()) return Close(id);
    if (client->unsent() < before) client->active_at = loop_.Now();
  }
  Advance(id);
  // Both directions are shut down: nobody is left to read a reply. A request that came before that
  // has been handed over by now, and is carried out.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) Close(id);
}

void ServerCore::Advance(uint64_t id) {
  // One request at a time: the next one waits in the buffer, and further ones in the socket.
  while (ServerClient* client = Find(id)) {
    std::string text;
    if (client->pending || client->closing || client->unsent() > 0) break;
    if (!client->TakeRequest(&text)) {
      if (!client->overlong()) break;
      QueueReply(*client, ErrorReply({kErrorTooLarge, absl::StrCat("request is longer than ",
                                                                   kMaxRequestSize, " octets")}));
      client->closing = true;
      break;
    }
    client->active_at = loop_.Now();
    Handle(id, *client, text);
  }
  ServerClient* client = Find(id);
  if (client == nullptr) return;
  const bool finished = client->closing || (client->end_of_input && !client->pending);
  if (finished && client->unsent() == 0) return Close(id);
  UpdateEvents(id, *client);
}

void ServerCore::Handle(uint64_t id, ServerClient& client, const std::string& text) {
  Request request;
  Error error;
  if (!ParseRequest(text, &request, &error)) return QueueReply(client, ErrorReply(error));
  if (ChangesThings(request.verb) && !client.may_change()) {
    return QueueReply(client, ErrorReply({kErrorPermissionDenied,
                                          absl::StrCat("'", VerbName(request.verb),
                                                       "' is for root and the user who started "
                                                       "ciped; group cipe may 'show'")}));
  }
  client.pending = true;
  handler_(request, Responder(weak_from_this(), id));
}

void ServerCore::Answer(uint64_t id, const Reply& reply) {
  ServerClient* client = Find(id);
  if (client == nullptr || !client->pending) return;
  client->pending = false;
  client->active_at = loop_.Now();
  QueueReply(*client, reply);
  // Goes on from the loop, not from here: the handler that answers may be inside Advance itself.
  (void)loop_.SetEvents(client->fd(), client->events | EPOLLOUT);
}

void ServerCore::Subscribe(uint64_t id, const std::string& tunnel) {
  ServerClient* client = Find(id);
  if (client == nullptr || !client->pending) return;
  const int others = subscribers() - (client->subscription.has_value() ? 1 : 0);
  if (others >= options_.max_subscribers) {
    return Answer(id,
                  ErrorReply({kErrorTooManyClients,
                              absl::StrCat("ciped has ", others, " monitors already: end one")}));
  }
  client->subscription = tunnel;
  Answer(id, OkReply(Json::object()));
}

void ServerCore::Publish(const std::string& tunnel, const Json& document) {
  const std::string text = Dump(document);
  std::vector<uint64_t> slow;
  for (auto& [id, client] : clients_) {
    if (!client->subscription.has_value()) continue;
    if (!client->subscription->empty() && *client->subscription != tunnel) continue;
    if (client->unsent() == 0) client->active_at = loop_.Now();
    client->Queue(text);
    if (!client->Flush() || client->unsent() > ControlServer::kMaxUnreadEvents) {
      slow.push_back(id);
    } else {
      UpdateEvents(id, *client);
    }
  }
  for (const uint64_t id : slow) Close(id);
}

int ServerCore::subscribers() const {
  return static_cast<int>(std::count_if(clients_.begin(), clients_.end(), [](const auto& entry) {
    return entry.second->subscription.has_value();
  }));
}

bool ServerCore::IsWaiting(uint64_t id) const {
  const auto it = clients_.find(id);
  return it != clients_.end() && it->second->pending;
}

void ServerCore::QueueReply(ServerClient& client, const Reply& reply) {
  std::string text = SerializeReply(reply);
  if (text.size() >= options_.max_reply || text.size() + Buffered() >= options_.max_buffered) {
    text = SerializeReply(
        ErrorReply({kErrorTooLarge, "the answer is too long: ask for one tunnel by its name"}));
    if (client.unsent() + text.size() >= options_.max_reply) client.closing = true;
  }
  client.Queue(text);
  if (!client.Flush()) client.closing = true;
}

size_t ServerCore::Buffered() const {
  size_t sum = 0;
  for (const auto& [id, client] : clients_) sum += client->unsent();
  return sum;
}

void ServerCore::UpdateEvents(uint64_t id, ServerClient& client) {
  const bool busy = client.pending || client.closing || client.unsent() > 0;
  uint32_t events = 0;
  // While busy nothing is read: who sends on is held back by the socket, not by our memory.
  if (!busy && !client.end_of_input) events |= EPOLLIN;
  if (client.unsent() > 0) events |= EPOLLOUT;
  client.events = events;
  if (!loop_.SetEvents(client.fd(), events).ok()) Close(id);
}

void ServerCore::CheckIdle(uint64_t id) {
  ServerClient* client = Find(id);
  if (client == nullptr) return;
  client->timer = TimerId::kNone;
  const Instant now = loop_.Now();
  // How long an answer may take is the handler's business.
  const bool reads_all = client->subscription.has_value() && client->unsent() == 0;
  if (client->pending || reads_all) client->active_at = now;
  const Instant deadline = client->active_at + options_.idle_timeout;
  if (now >= deadline) return Close(id);
  client->timer = loop_.At(deadline, [this, id] { CheckIdle(id); });
}

void ServerCore::Close(uint64_t id) {
  const auto it = clients_.find(id);
  if (it == clients_.end()) return;
  loop_.Cancel(it->second->timer);
  loop_.Unwatch(it->second->fd());
  clients_.erase(it);
}

Responder::Responder(Responder&& other) noexcept
    : core_(std::move(other.core_)), client_(std::exchange(other.client_, 0)) {}

Responder& Responder::operator=(Responder&& other) noexcept {
  std::swap(core_, other.core_);
  std::swap(client_, other.client_);
  return *this;
}

Responder::~Responder() {
  if (client_ != 0) Fail(Error{kErrorInternal, "ciped gave no answer to this request"});
}

void Responder::Send(const Reply& reply) {
  const uint64_t client = std::exchange(client_, 0);
  if (client == 0) return;
  if (const std::shared_ptr<ServerCore> core = core_.lock()) core->Answer(client, reply);
}

void Responder::Subscribe(const std::string& tunnel) {
  const uint64_t client = std::exchange(client_, 0);
  if (client == 0) return;
  if (const std::shared_ptr<ServerCore> core = core_.lock()) core->Subscribe(client, tunnel);
}

bool Responder::wanted() const {
  const std::shared_ptr<ServerCore> core = client_ == 0 ? nullptr : core_.lock();
  return core != nullptr && core->IsWaiting(client_);
}

absl::StatusOr<std::unique_ptr<ControlServer>> ControlServer::Create(EventLoop& loop,
                                                                     UniqueFd listener,
                                                                     Handler handler,
                                                                     ServerOptions options) {
  if (!options.credentials) options.credentials = PeerCredentials;
  auto core = std::make_shared<ServerCore>(loop, std::move(listener), std::move(handler),
                                           std::move(options));
  CIPE_RETURN_IF_ERROR(core->Start());
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(core)));
}

ControlServer::ControlServer(std::shared_ptr<ServerCore> core) : core_(std::move(core)) {}
ControlServer::~ControlServer() = default;
int ControlServer::clients() const { return core_->clients(); }
void ControlServer::Publish(const std::string& tunnel, const Json& document) {
  core_->Publish(tunnel, document);
}
bool ControlServer::watched() const { return core_->watched(); }

}  // namespace cipe::control
