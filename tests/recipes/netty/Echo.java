import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import recipes.Commands;

/** A server that returns what it reads. */
public class Echo {
  private static final AtomicLong READ = new AtomicLong();
  private static final AtomicLong MESSAGES = new AtomicLong();

  private static int port;

  private static final class Handler extends ChannelInboundHandlerAdapter {
    @Override
    public void channelRead(ChannelHandlerContext context, Object message) {
      READ.addAndGet(((ByteBuf) message).readableBytes());
      MESSAGES.incrementAndGet();
      context.writeAndFlush(message);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Channel server =
        new ServerBootstrap()
            .group(new NioEventLoopGroup(1))
            .channel(NioServerSocketChannel.class)
            .childHandler(new Initializer())
            .bind("127.0.0.1", 0)
            .sync()
            .channel();
    port = ((InetSocketAddress) server.localAddress()).getPort();
    echoes(3);
    Commands.serve(Map.of("echoes", Echo::echoes));
  }

  private static final class Initializer
      extends io.netty.channel.ChannelInitializer<io.netty.channel.Channel> {
    @Override
    protected void initChannel(Channel channel) {
      channel.pipeline().addLast(new Handler());
    }
  }

  private static String echoes(int count) throws Exception {
    long read = READ.get();
    long messages = MESSAGES.get();
    try (Socket socket = new Socket("127.0.0.1", port)) {
      OutputStream output = socket.getOutputStream();
      InputStream input = socket.getInputStream();
      for (int i = 1; i <= count; i++) {
        output.write(new byte[i * 37 % 5000 + 1]);
        input.readNBytes(i * 37 % 5000 + 1);
      }
    }
    return "read=" + (READ.get() - read) + " messages=" + (MESSAGES.get() - messages);
  }
}
